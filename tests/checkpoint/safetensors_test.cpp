// What is written reads back; headers of odd length put data at odd bytes; values arrive untouched.
#include "regroup/checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "regroup/base/input_file.h"
#include "support/expect_error.h"
#include "support/safetensors_cases.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;

std::string read_tensor(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo* info = file.find(name);
  if (info == nullptr) return "no such tensor";
  std::string bytes(static_cast<size_t>(info->bytes()), '?');
  file.read(*info, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

/// Writes `bytes`, opens them as safetensors and returns tensor "a" widened to doubles.
std::vector<double> values_of_a(const std::string& bytes) {
  const TemporaryFolder folder;
  const SafetensorsFile file{InputFile(folder.write("x.safetensors", bytes))};
  const std::string data = read_tensor(file, "a");
  const Dtype dtype = file.find("a")->dtype;
  std::vector<double> values(data.size() * 8 / static_cast<size_t>(dtype_bits(dtype)));
  widen(dtype, std::as_bytes(std::span(data)), values);
  return values;
}

// {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} has 54 bytes and is padded to 56.
TEST(Prefix, IsTheLengthTheJsonAndSpaces) {
  const std::string json = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_EQ(json.size(), 54U);
  EXPECT_EQ(make_safetensors_prefix({{"a", Dtype::kF32, {2}}}, {}), framed(56, json + "  "));
}

TEST(Prefix, NeedsNoPaddingAtAMultipleOf8) {
  // One byte of name more than above, and one digit less: 54 + 2 = 56.
  const std::string prefix = make_safetensors_prefix({{"abc", Dtype::kF32, {2}}}, {});
  EXPECT_EQ(prefix.size(), 64U);
  EXPECT_TRUE(prefix.ends_with("}}"));
}

TEST(Prefix, SortsMetadataAndKeepsTensorsInOrder) {
  const std::string prefix = make_safetensors_prefix(
      {{"b", Dtype::kBF16, {3}}, {"a", Dtype::kU8, {}}}, {{"z", "1"}, {"format", "pt"}});
  EXPECT_TRUE(contains(prefix, R"({"__metadata__":{"format":"pt","z":"1"},)"
                               R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},)"
                               R"("a":{"dtype":"U8","shape":[],"data_offsets":[6,7]}})"));
}

TEST(Prefix, EscapesNames) {
  const TemporaryFolder folder;
  const std::string name = "a\"\\模型/\xF0\x9F\x98\x80";
  const std::string bytes = safetensors_bytes({{{name, Dtype::kU8, {1}}, "x"}});
  const SafetensorsFile file{InputFile(folder.write("x.safetensors", bytes))};
  EXPECT_EQ(read_tensor(file, name), "x");
}

TEST(RoundTrip, EveryDtypeAndRank) {
  const TemporaryFolder folder;
  Random random(1);
  std::vector<TensorData> tensors;
  for (int d = 0; d <= static_cast<int>(Dtype::kU64); ++d) {
    const auto dtype = static_cast<Dtype>(d);
    // 4 elements fill bytes even at 6 bits: 24 bits.
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{4}, {2, 2}, {1, 4, 1}, {0}, {3, 0, 2}}) {
      TensorData tensor{
          {std::string(dtype_name(dtype)) + std::to_string(tensors.size()), dtype, shape}, ""};
      tensor.bytes.resize(static_cast<size_t>(tensor_bytes(dtype, shape)));
      for (char& byte : tensor.bytes) byte = static_cast<char>(random.below(256));
      tensors.push_back(tensor);
    }
  }
  tensors.push_back({{"scalar", Dtype::kF64, {}}, "12345678"});
  const std::string path =
      folder.write("x.safetensors", safetensors_bytes(tensors, {{"format", "pt"}}));
  const SafetensorsFile file{InputFile(path)};
  ASSERT_EQ(file.tensors().size(), tensors.size());
  EXPECT_EQ(file.table().metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  for (const TensorData& tensor : tensors) {
    SCOPED_TRACE(tensor.spec.name);
    const TensorInfo* info = file.find(tensor.spec.name);
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(info->dtype, tensor.spec.dtype);
    EXPECT_EQ(info->shape, tensor.spec.shape);
    EXPECT_EQ(read_tensor(file, tensor.spec.name), tensor.bytes);
  }
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST(RoundTrip, TheSameInputGivesTheSameBytes) {
  const std::vector<TensorData> tensors = tiny_tensors({});
  EXPECT_EQ(safetensors_bytes(tensors, {{"a", "1"}, {"b", "2"}}),
            safetensors_bytes(tensors, {{"b", "2"}, {"a", "1"}}));
}

TEST(RoundTrip, SurvivesAMoveOfTheFile) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("x.safetensors", safetensors_bytes({{{"a", Dtype::kU8, {3}}, "abc"}}));
  SafetensorsFile first{InputFile(path)};
  const SafetensorsFile second = std::move(first);
  EXPECT_EQ(read_tensor(second, "a"), "abc");
}

// Real files have headers of odd length (DeepSeek-R1-Distill-Qwen-1.5B: 38,613), so every start of
// the data modulo 8 must do. 1.0f and -2.5f are 0x3F800000 and 0xC0200000.
TEST(Alignment, DataMayBeginAtAnyByte) {
  for (size_t padding = 0; padding < 8; ++padding) {
    SCOPED_TRACE(padding);
    const std::string header =
        "{\"a\":" + st_entry("F32", "[2]", "[0,8]") + "}" + std::string(padding, ' ');
    EXPECT_EQ(values_of_a(st_file(header, "\0\0\x80\x3F\0\0\x20\xC0"s)),
              (std::vector<double>{1.0, -2.5}));
  }
}

TEST(Alignment, AMisalignedTensorReadsItsOwnBytes) {
  const TemporaryFolder folder;
  const std::string bytes = st_file("{\"a\":" + st_entry("U8", "[1]", "[0,1]") +
                                        ",\"b\":" + st_entry("F32", "[1]", "[1,5]") + "}",
                                    "\x07\0\0\x80\x3F"s);
  const SafetensorsFile file{InputFile(folder.write("x.safetensors", bytes))};
  EXPECT_EQ(read_tensor(file, "a"), "\x07");
  EXPECT_EQ(read_tensor(file, "b"), "\0\0\x80\x3F"s);
}

TEST(Order, TensorsAreSortedByTheirBytes) {
  const TensorTable header = parse_safetensors_header(
      "{\"z\":" + st_entry("U8", "[2]", "[0,2]") + ",\"b\":" + st_entry("U8", "[0]", "[2,2]") +
          ",\"c\":" + st_entry("U8", "[3]", "[2,5]") + ",\"a\":" + st_entry("U8", "[0]", "[2,2]") +
          "}",
      5, "x");
  std::string order;
  for (const TensorInfo& tensor : header.tensors) order += tensor.name;
  EXPECT_EQ(order, "zabc");
}

TEST(Values, ReadAsTheyAre) {
  const auto f32 = values_of_a(
      st_file("{\"a\":" + st_entry() + "}", "\0\0\xC0\x7F\0\0\x80\x7F\0\0\x80\xFF\0\0\0\x80"s));
  EXPECT_TRUE(std::isnan(f32[0]));
  EXPECT_EQ(f32[1], std::numeric_limits<double>::infinity());
  EXPECT_EQ(f32[2], -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(f32[3] == 0 && std::signbit(f32[3]));
  // BF16 0x0001 is the smallest subnormal, 2^-133; 0x007F the largest, 127 * 2^-133.
  EXPECT_EQ(values_of_a(st_file("{\"a\":" + st_entry("BF16", "[2]", "[0,4]") + "}", "\1\0\x7F\0"s)),
            (std::vector<double>{0x1p-133, 127 * 0x1p-133}));
  // F16 0x0001 is 2^-24, 0x7BFF is 65504, the largest.
  EXPECT_EQ(
      values_of_a(st_file("{\"a\":" + st_entry("F16", "[2]", "[0,4]") + "}", "\1\0\xFF\x7B"s)),
      (std::vector<double>{0x1p-24, 65504}));
  EXPECT_EQ(values_of_a(
                st_file("{\"a\":" + st_entry("F32", "[3]", "[0,12]") + "}", std::string(12, '\0'))),
            (std::vector<double>{0, 0, 0}));
}

TEST(Values, ABoolIsAByte) {
  const TemporaryFolder folder;
  const std::string bytes = st_file("{\"a\":" + st_entry("BOOL", "[1]", "[0,1]") + "}", "\x02");
  const SafetensorsFile file{InputFile(folder.write("x.safetensors", bytes))};
  EXPECT_EQ(read_tensor(file, "a"), "\x02");
}

struct Message {
  const char* why;
  std::string bytes;
  const char* message;  ///< what follows "PATH: "
};

// Whole messages: what must hold, what was found.
TEST(Messages, SayWhatMustHoldAndWhatWasFound) {
  const std::string z(16, '\0');
  const auto a = [&](const std::string& entry) { return st_file("{\"a\":" + entry + "}", z); };
  const Message cases[] = {
      {"short", "1234567", "a safetensors file needs at least 8 bytes, found 7"},
      {"past the end", framed(1000, "{}"), "declared header length 1000 but only 2 bytes follow"},
      {"too large", framed(100'000'001, "{}"),
       "declared header length 100000001 must be at most 100000000"},
      {"LFS", "version https://git-lfs.github.com/spec/v1\n",
       "must be a safetensors file, but this is a Git LFS pointer"},
      {"size", a(st_entry("F32", "[2,3]", "[0,16]")),
       "tensor \"a\": shape [2, 3] of F32 needs 24 bytes, data_offsets span 16"},
      {"reversed", a(st_entry("F32", "[2,2]", "[16,0]")),
       "tensor \"a\": ends before it begins, at bytes [16, 0)"},
      {"hole", st_file("{\"a\":" + st_entry("U8", "[1]", "[3,4]") + "}", "1234"),
       "tensor \"a\": bytes 0..3 before it belong to no tensor"},
      {"truncated", st_file("{\"a\":" + st_entry() + "}", "12345"),
       "tensors need 16 data bytes, the file has 5"},
      {"trailing", st_file("{}", "12345"), "5 bytes follow the last tensor"},
      {"duplicate", st_file("{\"a\":" + st_entry() + ",\"a\":" + st_entry() + "}", z),
       "key \"a\" appears twice"},
      {"name", st_file("{\"\\u001b[2J\":" + st_entry() + "}", z),
       "control character in tensor name \"\\u{1b}[2J\""},
  };
  const TemporaryFolder folder;
  for (const Message& c : cases) {
    SCOPED_TRACE(c.why);
    const std::string path = folder.write("x.safetensors", c.bytes);
    try {
      const SafetensorsFile file{InputFile(path)};
      ADD_FAILURE() << "accepted";
    } catch (const CheckpointError& error) {
      EXPECT_EQ(std::string(error.what()), path + ": " + c.message);
    }
  }
}

TEST(Truncation, AFileCutWhileOpenGivesAnError) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("x.safetensors", safetensors_bytes({{{"a", Dtype::kU8, {4}}, "abcd"}}));
  const SafetensorsFile file{InputFile(path)};
  ASSERT_EQ(::truncate(path.c_str(), file.table().data_begin + 2), 0);
  expect_error("SRC_CHANGED", [&] { read_tensor(file, "a"); });
  expect_error("SRC_CHANGED", [&] { file.file().require_unchanged(); });
}

}  // namespace
}  // namespace regroup::testing
