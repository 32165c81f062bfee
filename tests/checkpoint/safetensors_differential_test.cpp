// Thousands of generated headers, most of them wrong somewhere, against an oracle that knows the
// structure they were printed from and counts with 128 bits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/checkpoint/safetensors.h"
#include "support/safetensors_cases.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

__extension__ using Wide = __int128;
constexpr Wide kTwo64 = Wide{1} << 64;

struct Tensor {
  std::string name;
  std::string dtype;
  std::vector<Wide> shape;
  Wide begin = 0;
  Wide end = 0;
};

struct Generated {
  std::vector<Tensor> tensors;
  Wide data_bytes = 0;
  bool has_metadata = false;
  std::optional<uint64_t> declared_length;  ///< a wrong header length
};

int bits_of(const std::string& dtype) {
  if (dtype == "F4") return 4;
  if (dtype == "U8") return 8;
  if (dtype == "BF16") return 16;
  if (dtype == "F32") return 32;
  if (dtype == "I64") return 64;
  return 0;
}

std::string text_of(Wide value) {
  if (value < 0) return "-" + text_of(-value);
  if (value < 10) return std::string(1, static_cast<char>('0' + static_cast<int>(value)));
  return text_of(value / 10) + text_of(value % 10);
}

/// a * b for non-negative factors, held at 2^100 when larger: all that matters is "above 2^64".
Wide saturating(Wide a, Wide b) {
  constexpr Wide kMax = Wide{1} << 100;
  if (a == 0 || b == 0) return 0;
  return a > kMax / b ? kMax : a * b;
}

/// Every rule that the header breaks; empty: it must be accepted. Rules about where tensors lie are
/// asked only when each tensor is good by itself, as the reader does.
std::set<std::string> broken_rules(const Generated& file) {
  std::set<std::string> broken;
  std::set<std::string> names;
  for (const Tensor& t : file.tensors) {
    if (!names.insert(t.name).second) broken.insert("ST_DUPLICATE_KEY");
    if (bits_of(t.dtype) == 0) broken.insert("ST_BAD_DTYPE");
    Wide elements = 1;
    bool empty = false;
    for (const Wide dim : t.shape) {
      if (dim < 0 || dim >= kTwo64) broken.insert("ST_BAD_SHAPE");
      if (dim >= kTwo64 / 2) broken.insert("ST_SHAPE_OVERFLOW");
      empty = empty || dim == 0;
      elements = saturating(elements, dim == 0 ? 1 : std::max<Wide>(dim, 1));
    }
    const Wide bits = saturating(elements, bits_of(t.dtype));
    if (bits >= kTwo64) broken.insert("ST_SHAPE_OVERFLOW");
    for (const Wide offset : {t.begin, t.end}) {
      if (offset < 0 || offset >= kTwo64) broken.insert("ST_BAD_OFFSETS");
    }
    if (t.end < t.begin) broken.insert("ST_BAD_OFFSETS");
    if (!empty && bits % 8 != 0) broken.insert("ST_SUBBYTE");
    if (t.end - t.begin != (empty ? 0 : bits / 8)) broken.insert("ST_SIZE_MISMATCH");
  }
  if (!broken.empty()) return broken;
  std::vector<std::pair<Wide, Wide>> ranges;
  for (const Tensor& t : file.tensors) ranges.emplace_back(t.begin, t.end);
  std::sort(ranges.begin(), ranges.end());
  Wide next = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin < next) broken.insert("ST_OVERLAP");
    if (begin > next) broken.insert("ST_HOLE");
    next = end;
  }
  if (broken.empty() && next > file.data_bytes) broken.insert("ST_DATA_TRUNCATED");
  if (broken.empty() && next < file.data_bytes) broken.insert("ST_TRAILING_DATA");
  return broken;
}

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  Generated next() {
    Generated file = valid();
    for (uint64_t n = random_.below(3); n > 0; --n) mutate(file);
    return file;
  }

  /// The JSON of `file`: fields in any order, white space in between, some letters escaped.
  std::string print(const Generated& file) {
    std::vector<std::string> members;
    if (file.has_metadata) members.emplace_back(R"("__metadata__":{"format":"pt","k":""})");
    for (const Tensor& t : file.tensors) {
      std::string shape;
      for (const Wide dim : t.shape) shape += (shape.empty() ? "" : "," + space()) + text_of(dim);
      std::vector<std::string> fields = {
          "\"dtype\"" + space() + ":\"" + t.dtype + "\"",
          "\"shape\":" + space() + "[" + shape + "]",
          "\"data_offsets\":[" + text_of(t.begin) + space() + "," + text_of(t.end) + "]",
      };
      std::rotate(fields.begin(), fields.begin() + static_cast<long>(random_.below(3)),
                  fields.end());
      const std::string name =
          random_.below(4) == 0 ? fmt::format("\\u{:04x}", t.name[0]) + t.name.substr(1) : t.name;
      members.push_back("\"" + name + "\":{" + fields[0] + "," + fields[1] + space() + "," +
                        fields[2] + "}");
    }
    std::string header = "{" + space();
    for (size_t i = 0; i < members.size(); ++i) header += (i == 0 ? "" : ",") + members[i];
    return header + "}" + space();
  }

 private:
  std::string space() {
    constexpr const char* kSpaces[] = {"", "", "", " ", "\n", "\t ", "\r"};
    return kSpaces[random_.below(7)];
  }

  Wide interesting() {
    static const std::vector<Wide> kValues = {0,
                                              1,
                                              2,
                                              3,
                                              7,
                                              8,
                                              15,
                                              16,
                                              17,
                                              255,
                                              256,
                                              65535,
                                              65536,
                                              65537,
                                              (Wide{1} << 31) - 1,
                                              Wide{1} << 31,
                                              (Wide{1} << 32) - 1,
                                              Wide{1} << 32,
                                              (Wide{1} << 32) + 4,
                                              (Wide{1} << 53) + 1,
                                              (Wide{1} << 60) + 1,
                                              (Wide{1} << 61) - 1,
                                              Wide{1} << 61,
                                              (Wide{1} << 63) - 1,
                                              Wide{1} << 63,
                                              kTwo64 - 16,
                                              kTwo64 - 1,
                                              kTwo64,
                                              -1,
                                              -16};
    return random_.pick(kValues);
  }

  Generated valid() {
    Generated file;
    file.has_metadata = random_.below(3) == 0;
    const std::vector<std::string> dtypes = {"U8", "BF16", "F32", "I64", "F4"};
    const std::vector<Wide> dims = {0, 1, 2, 3, 4, 6};
    const uint64_t n = random_.below(5);
    for (uint64_t i = 0; i < n; ++i) {
      Tensor t{.name = std::string(1, static_cast<char>('a' + i)),
               .dtype = random_.pick(dtypes),
               .shape = {}};
      Wide bits = bits_of(t.dtype);
      for (uint64_t rank = random_.below(4); rank > 0; --rank) {
        t.shape.push_back(random_.pick(dims));
        bits *= t.shape.back();
      }
      t.begin = file.data_bytes;
      t.end = file.data_bytes += bits / 8;
      file.tensors.push_back(t);
    }
    // The order of the entries is not the order of the data.
    for (size_t i = file.tensors.size(); i > 1; --i) {
      std::swap(file.tensors[i - 1], file.tensors[random_.below(i)]);
    }
    return file;
  }

  void mutate(Generated& file) {
    if (random_.below(8) == 0) {
      const std::vector<Wide> deltas = {-1, 1, -8, 8, 100};
      file.data_bytes = std::max<Wide>(0, file.data_bytes + random_.pick(deltas));
      return;
    }
    if (file.tensors.empty()) return;
    Tensor& t = file.tensors[random_.below(file.tensors.size())];
    const Tensor& other = file.tensors[random_.below(file.tensors.size())];
    switch (random_.below(11)) {
      case 0:
        if (!t.shape.empty()) t.shape[random_.below(t.shape.size())] = interesting();
        break;
      case 1:
        (random_.below(2) == 0 ? t.begin : t.end) = interesting();
        break;
      case 2:
        std::swap(t.begin, t.end);
        break;
      case 3: {
        const std::vector<Wide> shifts = {1, 8, -1};
        const Wide shift = random_.pick(shifts);
        t.begin += shift;
        t.end += shift;
        break;
      }
      case 4:
        t.begin = other.begin;
        t.end = other.end;
        break;
      case 5:
        t.name = other.name;
        break;
      case 6:
        t.dtype = other.dtype;
        break;
      case 7:
        t.dtype = "F99";
        break;
      case 8:
        t.shape = {interesting(), interesting()};
        break;
      case 9:  // the same count modulo 2^64 or 2^32
        if (!t.shape.empty()) t.shape[0] += random_.below(2) == 0 ? kTwo64 : Wide{1} << 32;
        break;
      default:
        t.end = t.begin + interesting();
        break;
    }
  }

  Random random_;
};

std::string describe(const std::set<std::string>& codes) {
  std::string text;
  for (const std::string& code : codes) text += code + " ";
  return text.empty() ? "acceptance" : text;
}

/// "" when the reader's answer is one that the oracle allows.
std::string disagreement(const std::set<std::string>& broken, const std::function<void()>& read) {
  try {
    read();
  } catch (const CheckpointError& error) {
    if (broken.contains(error.info().code)) return "";
    return "the reader says " + error.info().code + ", the oracle " + describe(broken);
  }
  return broken.empty() ? "" : "the reader accepts, the oracle says " + describe(broken);
}

TEST(Differential, AgreesWithAnOracleOn40000Headers) {
  const TemporaryFolder folder;
  Generator generator(20'240'501);
  int64_t accepted = 0;
  std::map<std::string, int64_t> seen;
  for (int i = 0; i < 40'000; ++i) {
    const Generated file = generator.next();
    const std::string header = generator.print(file);
    const std::set<std::string> broken = broken_rules(file);
    const auto data_bytes = static_cast<int64_t>(file.data_bytes);
    std::string wrong = disagreement(broken, [&] {
      const TensorTable parsed = parse_safetensors_header(header, data_bytes, "x");
      ASSERT_EQ(parsed.tensors.size(), file.tensors.size());
      ASSERT_EQ(parsed.metadata.size(), file.has_metadata ? 2U : 0U);
      for (const Tensor& t : file.tensors) {
        const auto found =
            std::find_if(parsed.tensors.begin(), parsed.tensors.end(),
                         [&](const TensorInfo& info) { return info.name == t.name; });
        ASSERT_NE(found, parsed.tensors.end());
        EXPECT_TRUE(found->begin == t.begin && found->end == t.end);
        EXPECT_EQ(dtype_name(found->dtype), t.dtype);
        EXPECT_TRUE(
            std::equal(found->shape.begin(), found->shape.end(), t.shape.begin(), t.shape.end()));
      }
    });
    if (wrong.empty() && i % 16 == 0) {  // the same through a file
      const std::string bytes = st_file(header, std::string(static_cast<size_t>(data_bytes), '\0'));
      const std::string path = folder.write("x.safetensors", bytes);
      wrong = disagreement(broken, [&] { SafetensorsFile{InputFile(path)}; });
    }
    ASSERT_EQ(wrong, "") << "header " << i << " with " << data_bytes << " data bytes: " << header;
    accepted += broken.empty();
    for (const std::string& code : broken) ++seen[code];
  }
  // A generator that makes only one kind of file would agree with anything.
  EXPECT_GT(accepted, 8'000);
  EXPECT_LT(accepted, 32'000);
  for (const char* code :
       {"ST_DUPLICATE_KEY", "ST_BAD_DTYPE", "ST_BAD_SHAPE", "ST_SHAPE_OVERFLOW", "ST_BAD_OFFSETS",
        "ST_SIZE_MISMATCH", "ST_OVERLAP", "ST_HOLE", "ST_DATA_TRUNCATED", "ST_TRAILING_DATA"}) {
    EXPECT_GT(seen[code], 100) << code;
  }
  EXPECT_GT(seen["ST_SUBBYTE"], 10);
}

// A wrong length cuts the header or swallows data; nothing but a typed refusal may follow, unless
// the header still ends in the white space it was padded with.
TEST(Differential, AWrongHeaderLengthIsRefused) {
  const TemporaryFolder folder;
  Generator generator(7);
  Random random(8);
  const std::vector<uint64_t> deltas = {
      uint64_t(-1), 1, 8, uint64_t(-8), uint64_t{1} << 32, uint64_t{1} << 63, uint64_t(-9)};
  for (int i = 0; i < 1000; ++i) {
    const Generated file = generator.next();
    std::string header = generator.print(file);
    while (header.back() != '}') header.pop_back();
    const std::string data(static_cast<size_t>(file.data_bytes), '\0');
    const uint64_t length = header.size() + random.pick(deltas);
    const std::string path = folder.write("x.safetensors", framed(length, header + data));
    try {
      const SafetensorsFile opened{InputFile(path)};
      ADD_FAILURE() << "accepted length " << length << " for " << header;
    } catch (const CheckpointError& error) {
      EXPECT_TRUE(error.info().code.starts_with("ST_")) << error.what();
    }
  }
}

}  // namespace
}  // namespace regroup::testing
