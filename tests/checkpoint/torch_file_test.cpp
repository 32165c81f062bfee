// PyTorch's own weight files: what PyTorch writes is read as it is, and no bytes do more than that.
#include "torch_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "oracles/oracle.h"
#include "regroup/base/notice.h"
#include "regroup/checkpoint/safetensors.h"
#include "support/bounded.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/torch_zip.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;
using namespace pickled;

std::string bytes_of(const TensorFile& file, const TensorInfo& tensor) {
  std::string bytes(static_cast<size_t>(tensor.bytes()), '?');
  file.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

void expect_same(const TensorFile& found, const TensorFile& expected) {
  EXPECT_EQ(found.tensors().size(), expected.tensors().size());
  for (const TensorInfo& tensor : expected.tensors()) {
    const TensorInfo* same = found.find(tensor.name);
    ASSERT_NE(same, nullptr) << tensor.name;
    EXPECT_EQ(same->dtype, tensor.dtype) << tensor.name;
    EXPECT_EQ(same->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(bytes_of(found, *same), bytes_of(expected, tensor)) << tensor.name;
  }
}

// Dtypes, shapes, parameters, views of one storage, a state_dict() and 700 tensors, as PyTorch saves them.
TEST(TorchFile, HoldsWhatPyTorchWrote) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder folder;
  const auto answer = ask_oracle("torch_files.py", folder, {});
  ASSERT_EQ(answer["good"].size(), 9u);
  for (const auto& name : answer["good"]) {
    SCOPED_TRACE(name);
    const std::string path = folder / name.get<std::string>();
    expect_same(TensorFile(InputFile(path + ".bin"), read_torch_table),
                SafetensorsFile(InputFile(path + ".safetensors")));
  }
  int refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("bad-")) continue;
    SCOPED_TRACE(name);
    const std::string code = name.substr(4, name.find_first_of("-.", 4) - 4);
    expect_error<UnsupportedError>(code, [&] { read_torch_table(InputFile(entry.path())); });
    ++refused;
  }
  EXPECT_EQ(refused, 9);
}

const std::string kFour = "\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0"s;  // four numbers of 32 bits

/// One tensor "a" over a storage of four.
std::string one_tensor(int32_t offset, const std::vector<int32_t>& shape,
                       const std::vector<int32_t>& strides, int32_t declared = 4) {
  const std::string made = tensor(storage("IntStorage", "0", declared), offset, shape, strides);
  return torch_zip(dictionary({{"a", made}}), {kFour});
}

std::string ids_of_a(const std::string& archive) {
  const TemporaryFolder folder;
  const TensorFile file(InputFile(folder.write("a.bin", archive)), read_torch_table);
  std::string text;
  for (const char c : bytes_of(file, *file.find("a"))) {
    if (c != 0) text += static_cast<char>('0' + c);
  }
  return text;
}

TEST(TorchFile, PlacesByHand) {
  EXPECT_EQ(ids_of_a(one_tensor(0, {4}, {1})), "1234");
  EXPECT_EQ(ids_of_a(one_tensor(1, {3}, {1})), "234");
  EXPECT_EQ(ids_of_a(one_tensor(0, {2, 2}, {2, 1})), "1234");
  EXPECT_EQ(ids_of_a(one_tensor(2, {1, 2}, {7, 1})), "34") << "a stride of one row does not count";
  EXPECT_EQ(ids_of_a(one_tensor(3, {}, {})), "4");
  EXPECT_EQ(ids_of_a(one_tensor(4, {0, 3}, {9, 9})), "");
  const std::string made = tensor(storage("IntStorage", "0", 4), 0, {4}, {1});
  for (const Zip64 kind : {Zip64::kNone, Zip64::kFull, Zip64::kBeside}) {
    EXPECT_EQ(ids_of_a(stored_zip({{"x/data.pkl", dictionary({{"a", made}})}, {"x/data/0", kFour}},
                                  kind)),
              "1234");
  }
  const std::string other = tensor(storage("IntStorage", "0", 4), 1, {1}, {1});
  EXPECT_EQ(ids_of_a(torch_zip(dictionary({{"a", made}, {"a", other}}), {kFour})), "2")
      << "the last one of a name counts, as in Python";
}

struct BadFile {
  const char* why;
  std::string code;
  std::string bytes;
  const char* message;
};

template <typename E>
void expect_refused(const std::vector<BadFile>& cases) {
  for (const BadFile& c : cases) {
    SCOPED_TRACE(c.why);
    const TemporaryFolder folder;
    const std::string path = folder.write("a.bin", c.bytes);
    const auto error = expect_error<E>(c.code, [&] { read_torch_table(InputFile(path)); });
    EXPECT_TRUE(contains(error.message, c.message));
  }
}

std::string zip_of_pickle(const std::string& pickle) { return torch_zip(pickle, {kFour}); }

TEST(TorchFile, NothingOfAPickleIsRun) {
  const TemporaryFolder folder;
  const std::string canary = folder / "canary";
  const auto calls = [&](const std::string& module, const std::string& name) {
    return zip_of_pickle("\x80\x02" + global(module, name) + tuple({text("touch " + canary)}) +
                         "R.");
  };
  const std::string by_stack =
      "\x80\x04" + text("os") + text("system") + "\x93" + tuple({text("touch " + canary)}) + "R.";
  expect_refused<UnsupportedError>({
      {"os.system", "PICKLE_GLOBAL", calls("os", "system"), "asks for os.system, and may"},
      {"posix", "PICKLE_GLOBAL", calls("posix", "system"), "posix.system"},
      {"eval", "PICKLE_GLOBAL", calls("builtins", "eval"), "builtins.eval"},
      {"a dotted name", "PICKLE_GLOBAL", calls("torch", "jit.load"), "torch.jit.load"},
      {"a prefix", "PICKLE_GLOBAL", calls("collections", "OrderedDict2"), "OrderedDict2"},
      {"untyped", "PICKLE_GLOBAL", calls("torch.storage", "UntypedStorage"), "UntypedStorage"},
      {"STACK_GLOBAL", "PICKLE_GLOBAL", zip_of_pickle(by_stack), "os.system"},
      {"INST", "PICKLE_OPCODE", zip_of_pickle("\x80\x02(ios\nsystem\n."), "opcode 0x69"},
      {"OBJ", "PICKLE_OPCODE", zip_of_pickle("\x80\x02(o."), "opcode 0x6f"},
      {"NEWOBJ", "PICKLE_OPCODE", zip_of_pickle("\x80\x02)\x81."), "opcode 0x81"},
      {"EXT1", "PICKLE_OPCODE", zip_of_pickle("\x80\x02\x82\x01."), "opcode 0x82"},
      {"BUILD of a list", "PICKLE_OPCODE", zip_of_pickle("\x80\x02]N"s + "b."), "opcode 0x62"},
      {"BUILD of a tensor", "PICKLE_OPCODE",
       zip_of_pickle(dictionary(
           {{"a", tensor(storage("IntStorage", "0", 4), 0, {4}, {1}) + tuple({"N"}) + "b"}})),
       "opcode 0x62"},
      {"BINBYTES8", "PICKLE_OPCODE", zip_of_pickle("\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."),
       "opcode 0x8e"},
  });
  EXPECT_FALSE(std::filesystem::exists(canary));
}

TEST(TorchFile, DamagedPickles) {
  const std::string fine = tensor(storage("IntStorage", "0", 4), 0, {4}, {1});
  expect_refused<CheckpointError>({
      {"empty", "PICKLE_STRUCT", zip_of_pickle(""), "ends too soon"},
      {"no STOP", "PICKLE_STRUCT", zip_of_pickle("\x80\x02}"), "ends too soon"},
      {"nothing to return", "PICKLE_STRUCT", zip_of_pickle("\x80\x02."), "where there is none"},
      {"protocol 1", "PICKLE_STRUCT", zip_of_pickle("\x80\x01}."), "protocol 2 to 5, found 1"},
      {"no mark", "PICKLE_STRUCT", zip_of_pickle("\x80\x02}u."), "a mark where there is none"},
      {"below a mark", "PICKLE_STRUCT", zip_of_pickle("\x80\x02N(\x85t."), "where there is none"},
      {"SETITEM on a list", "PICKLE_STRUCT", zip_of_pickle("\x80\x02]NNs."), "a dictionary there"},
      {"an odd number of items", "PICKLE_STRUCT", zip_of_pickle("\x80\x02}(Nu."), "pairs"},
      {"APPEND to a dictionary", "PICKLE_STRUCT", zip_of_pickle("\x80\x02}Na."), "a list there"},
      {"memo", "PICKLE_STRUCT", zip_of_pickle("\x80\x02h\x07."), "did not keep"},
      {"a text beyond the end", "PICKLE_STRUCT", zip_of_pickle("\x80\x02X\xff\xff\xff\xff."),
       "ends too soon"},
      {"a line without its end", "PICKLE_STRUCT",
       zip_of_pickle("\x80\x02"
                     "ctorch"),
       "inside a line"},
      {"a long number", "PICKLE_STRUCT", zip_of_pickle("\x80\x02\x8a\x09" + std::string(9, '\1')),
       "more than 64 bits"},
      {"a call of a list", "PICKLE_STRUCT", zip_of_pickle("\x80\x02])R."), "no function"},
      {"opcodes without end", "PICKLE_LIMIT",
       zip_of_pickle("\x80\x02" + std::string(5'000'000, 'N')), "at most 4000000 opcodes"},
      {"a large pickle", "ZIP_LIMIT", zip_of_pickle(std::string(17 << 20, 'N')),
       "at most 16777216"},
      {"no arguments", "PICKLE_STRUCT",
       zip_of_pickle(dictionary({{"a", global("torch._utils", "_rebuild_tensor_v2") + ")R"}})),
       "argument 0"},
      {"a storage of another make", "PICKLE_STRUCT",
       zip_of_pickle(dictionary(
           {{"a", tensor(tuple({text("store"), "N", "N", "N", "N"}) + "Q", 0, {4}, {1})}})),
       "must name a storage"},
      {"a long key", "PICKLE_STRUCT",
       zip_of_pickle(dictionary(
           {{"a", tensor(storage("IntStorage", std::string(1025, '0'), 4), 0, {4}, {1})}})),
       "must name a storage"},
      {"too many tensors", "PICKLE_LIMIT",
       zip_of_pickle("\x80\x02}(" + std::string(2'000'002, 'N') + "u."), "at most 1000000 tensors"},
      {"a control character", "PICKLE_STRUCT", zip_of_pickle(dictionary({{"a\nb", fine}})),
       "1 to 1024 bytes of plain text"},
      {"an empty name", "PICKLE_STRUCT", zip_of_pickle(dictionary({{"", fine}})), "found \"\""},
      {"ranks", "PICKLE_STRUCT",
       one_tensor(0, std::vector<int32_t>(17, 1), std::vector<int32_t>(17, 1)), "at most 16 sizes"},
  });
}

TEST(TorchFile, TensorsBeyondTheirStorage) {
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  const std::string gone = tensor(storage("IntStorage", "7", 4), 0, {4}, {1});
  expect_refused<CheckpointError>({
      {"longer", "PICKLE_STORAGE", one_tensor(0, {5}, {1}), "storage of 4 elements, found more"},
      {"offset", "PICKLE_STORAGE", one_tensor(2, {3}, {1}), "found 3 from 2 on"},
      {"an empty one behind it", "PICKLE_STORAGE", one_tensor(5, {0}, {1}), "found 0 from 5 on"},
      {"overflow", "PICKLE_STORAGE", one_tensor(0, {kMax, kMax, kMax}, {1, 1, 1}), "found more"},
      {"a negative offset", "PICKLE_STRUCT", one_tensor(-1, {1}, {1}), "begin at 0"},
      {"a negative size", "PICKLE_STRUCT", one_tensor(0, {-1}, {1}), "from 0 on"},
      {"a negative stride", "PICKLE_STRUCT", one_tensor(0, {4}, {-1}), "from 0 on"},
      {"too few strides", "PICKLE_STRUCT", one_tensor(0, {4}, {}), "a stride for each"},
      {"declared longer", "PICKLE_STORAGE", one_tensor(0, {4}, {1}, 5), "5 elements of 4 bytes"},
      {"declared shorter", "PICKLE_STORAGE", one_tensor(0, {3}, {1}, 3), "3 elements of 4 bytes"},
      {"no such storage", "PICKLE_STORAGE", torch_zip(dictionary({{"a", gone}}), {kFour}),
       "as data/7"},
  });
  expect_refused<UnsupportedError>({
      {"transposed", "PICKLE_VIEW", one_tensor(0, {2, 2}, {1, 2}), "row by row"},
      {"expanded", "PICKLE_VIEW", one_tensor(0, {4}, {0}), "row by row"},
      {"every second", "PICKLE_VIEW", one_tensor(0, {2}, {2}), "row by row"},
      {"negated", "PICKLE_UNSUPPORTED",
       zip_of_pickle(dictionary(
           {{"a", global("torch._utils", "_rebuild_tensor_v2") +
                      tuple({storage("IntStorage", "0", 4), number(0), tuple({number(4)}),
                             tuple({number(1)}), "\x89", "N", "}" + text("neg") + "\x88s"}) +
                      "R"}})),
       "must have no metadata"},
      {"big-endian", "ZIP_BYTEORDER", torch_zip(dictionary({}), {}, "big"), "found \"big\""},
      {"a list", "PICKLE_UNSUPPORTED", zip_of_pickle("\x80\x02]."), "a dictionary of tensors"},
      {"a key", "PICKLE_UNSUPPORTED", zip_of_pickle("\x80\x02}NNs."), "by a text"},
  });
}

/// Changes the bytes of an archive at a place from its end on.
std::string with(std::string archive, size_t from_end, const std::string& bytes) {
  return archive.replace(archive.size() - from_end, bytes.size(), bytes);
}

// Behind the directory: 56 bytes of the ZIP64 record, 20 of its locator, 22 of the end record. Readers take what stands in
// one or the other: both must say the same, unless the short number is full.
TEST(TorchFile, TwoEndsOfAnArchive) {
  const std::string made = tensor(storage("IntStorage", "0", 4), 0, {4}, {1});
  const std::vector<ZippedFile> files = {{"x/data.pkl", dictionary({{"a", made}})},
                                         {"x/data/0", kFour}};
  const std::string both = stored_zip(files, Zip64::kBeside);
  EXPECT_EQ(ids_of_a(with(both, 22 - 10, "\xFF\xFF")), "1234") << "one number is full";
  EXPECT_EQ(ids_of_a(with(both, 22 - 16, "\xFF\xFF\xFF\xFF")), "1234") << "another one is";
  expect_refused<CheckpointError>({
      {"another number of files", "ZIP_STRUCT", with(both, 98 - 32, "\1"),
       "says 2 of its directory at its end and 1 in its ZIP64 record"},
      {"another size", "ZIP_STRUCT", with(both, 98 - 40, "\1"), "and 1 in its ZIP64 record"},
      {"another place", "ZIP_STRUCT", with(both, 98 - 48 - 2, "\1"), "in its ZIP64 record"},
      {"a locator to nowhere", "ZIP_STRUCT", with(both, 42 - 8, "\0"s), "ZIP64 directory"},
  });
}

// A checksum of 0 is one, unless there is none in the whole archive.
TEST(TorchFile, ChecksumsOfZero) {
  std::vector<std::string> told;
  set_notice_handler([&](const std::string& text) { told.push_back(text); });
  const std::string pickle = dictionary({});
  const TemporaryFolder folder;
  const std::string none = folder.write("none.bin", stored_zip({{"m/data.pkl", pickle}}));
  EXPECT_TRUE(read_torch_table(InputFile(none)).tensors.empty());
  const std::string said = none + ": has no checksums; what it says of its tensors is not checked";
  EXPECT_EQ(told, std::vector<std::string>{said});
  told.clear();
  const auto sum = static_cast<uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(pickle.data()), static_cast<uInt>(pickle.size())));
  const std::string right = folder.write("right.bin", stored_zip({{"m/data.pkl", pickle, sum}}));
  EXPECT_TRUE(read_torch_table(InputFile(right)).tensors.empty());
  expect_refused<CheckpointError>(
      {{"0 beside others", "ZIP_CRC", stored_zip({{"m/data.pkl", pickle}, {"m/version", "3", 1}}),
        "the checksum of m/data.pkl must be 00000000, found "}});
  EXPECT_TRUE(told.empty());
  set_notice_handler({});
}

// What a download leaves where weights should be.
TEST(TorchFile, Lookalikes) {
  const struct {
    std::string bytes;
    const char* what;
    const char* hint;
  } cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 499723\n",
       "must be a file of torch.save, but this is a Git LFS pointer", "run `git lfs pull`"},
      {"<!DOCTYPE html><html>Not found</html>", "but this is an HTML page", "fetch the file again"},
      {"<html>", "but this is an HTML page", "fetch the file again"},
      {"GGUF\3\0\0\0"s, "but this is a GGUF file", "use the Hugging Face folder"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    const TemporaryFolder folder;
    const std::string path = folder.write("pytorch_model.bin", c.bytes);
    const ErrorInfo error =
        expect_error("TORCH_NOT_WEIGHTS", [&] { read_torch_table(InputFile(path)); });
    EXPECT_TRUE(contains(error.message, c.what));
    EXPECT_TRUE(contains(error.hint, c.hint));
  }
}

TEST(TorchFile, DamagedArchives) {
  const std::string good = one_tensor(0, {4}, {1});
  const auto changed = [&](size_t at, const std::string& bytes) {
    std::string copy = good;
    copy.replace(at, bytes.size(), bytes);
    return copy;
  };
  const size_t directory = good.find("PK\1\2");
  const size_t end = good.rfind("PK\5\6");
  const auto packed = [&](size_t at, const std::string& bytes) {
    std::string copy = changed(at, bytes);
    return copy.replace(directory + at + 2, bytes.size(), bytes);
  };
  const ZippedFile pickle{"m/data.pkl", dictionary({})};
  expect_refused<CheckpointError>({
      {"empty", "ZIP_STRUCT", "", "must end in a directory"},
      {"cut", "ZIP_STRUCT", good.substr(0, good.size() - 30), "must end in a directory"},
      {"no pickle", "ZIP_NAME", stored_zip({{"m/data.bin", "x"}}), "FOLDER/data.pkl"},
      {"outside of its folder", "ZIP_NAME", stored_zip({pickle, {"../x", "x"}}), "found ../x"},
      {"twice", "ZIP_NAME", stored_zip({pickle, pickle}), "two files called m/data.pkl"},
      {"a name without bytes", "ZIP_NAME", stored_zip({pickle, {"", "x"}}), "found \"\""},
      {"a checksum", "ZIP_CRC", stored_zip({{"m/data.pkl", dictionary({}), 1}}), "found "},
      {"more files than there are", "ZIP_STRUCT", changed(end + 10, "\7"), "found 3"},
      {"too many files", "ZIP_STRUCT", changed(end + 10, "\xFE\xFF"), "must list 65534 files"},
      {"a directory behind the end", "ZIP_STRUCT", changed(end + 16, "\xFF\xFF\xFF\x7F"),
       "directory's offset"},
      {"a large directory", "ZIP_STRUCT", changed(end + 12, "\xFF\xFF\xFF\x7F"), "a directory of"},
      {"ZIP64 that is not there", "ZIP_STRUCT", changed(end + 10, "\xFF\xFF"), "ZIP64 directory"},
      {"another name in front", "ZIP_STRUCT", changed(30, "n"), "one thing in its directory"},
      {"packed in its directory alone", "ZIP_STRUCT", changed(directory + 10, "\x08"),
       "one thing in its directory"},
      {"no file there", "ZIP_STRUCT", changed(directory + 42, "\1"), "one thing in its directory"},
      {"a place behind the end", "ZIP_STRUCT", changed(directory + 42, "\xFE\xFF\xFF\xFF"),
       "must have a file of at most"},
      {"longer than the archive", "ZIP_STRUCT",
       changed(directory + 20, "\xFF\xFF\xFF\x7E\xFF\xFF\xFF\x7E"), "must have a file of at most"},
      {"into the next file", "ZIP_STRUCT", changed(directory + 20, "\xFF\0\0\0\xFF\0\0\0"s),
       "begins in another"},
      {"a ZIP64 field that is missing", "ZIP_STRUCT", changed(directory + 24, "\xFF\xFF\xFF\xFF"),
       "without its ZIP64 field"},
  });
  expect_refused<UnsupportedError>({
      {"packed", "ZIP_COMPRESSED", packed(8, "\x08"), "model/data.pkl is packed or"},
      {"encrypted", "ZIP_COMPRESSED", packed(6, "\1"), "is packed or encrypted"},
      {"legacy", "PICKLE_LEGACY", "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.",
       "before PyTorch 1.6"},
      {"TorchScript", "TORCHSCRIPT_REFUSED", stored_zip({pickle, {"m/constants.pkl", "x"}}),
       "TorchScript"},
  });
}

// Every byte of a small file, changed in every bit: an Error or a table whose tensors can be read, nothing else.
TEST(TorchFile, AnyBitMayBeWrong) {
  const std::string good = one_tensor(0, {2, 2}, {2, 1});
  const TemporaryFolder folder;
  int accepted = 0;
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    const std::string path = folder.write("a.bin", bytes);
    try {
      const TensorFile file(InputFile(path), read_torch_table);
      for (const TensorInfo& tensor : file.tensors()) bytes_of(file, tensor);
      ++accepted;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(accepted, 100) << "names, values and times may be others";
}

}  // namespace
}  // namespace regroup::testing
