// The header of a safetensors file: JSON that nobody vouches for. It is read as a stream of events
// straight into TensorInfo, so that memory stays within a small multiple of the header whatever it
// holds, and every refusal knows where it stands.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"
#include "regroup/checkpoint/safetensors.h"

namespace regroup {
namespace {

constexpr const char* kFetchAgain = "the file is damaged; fetch or make it again";

constexpr size_t kMaxFieldName = 64;
constexpr size_t kMaxMetadataKey = 1 << 20;

struct RawEntry {
  std::string name;
  std::vector<uint64_t> shape;
  std::array<uint64_t, 2> offsets{};
  uint32_t n_offsets = 0;
  Dtype dtype = Dtype::kF32;
};

class HeaderSax : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderSax(const std::string& path) : path_(path) {}

  std::vector<RawEntry> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool number_integer(number_integer_t v) override { return scalar(fmt::format("{}", v)); }
  bool number_float(number_float_t, const string_t& spelling) override { return scalar(spelling); }
  bool binary(binary_t&) override { return scalar("binary"); }

  bool number_unsigned(number_unsigned_t v) override {
    if (where_ == Where::kShape) {
      if (entry_.shape.size() == kMaxRank) {
        fail("ST_BAD_SHAPE", fmt::format("shape must have at most {} dimensions", kMaxRank));
      }
      entry_.shape.push_back(v);
      return true;
    }
    if (where_ == Where::kOffsets) {
      if (entry_.n_offsets < 2) entry_.offsets[entry_.n_offsets] = v;
      ++entry_.n_offsets;
      return true;
    }
    return scalar(fmt::format("{}", v));
  }

  bool string(string_t& v) override {
    if (where_ == Where::kMetadata) {
      metadata[key_] = std::move(v);
      return true;
    }
    if (where_ == Where::kEntry && key_ == "dtype") {
      const std::optional<Dtype> dtype = parse_dtype(v);
      if (!dtype) fail("ST_BAD_DTYPE", fmt::format("unknown dtype \"{}\"", printable(v, 60)));
      entry_.dtype = *dtype;
      return true;
    }
    return scalar(fmt::format("\"{}\"", printable(v, 60)));
  }

  bool start_object(std::size_t) override {
    switch (where_) {
      case Where::kOutside:
        where_ = Where::kRoot;
        return true;
      case Where::kRoot:
        where_ = in_metadata_ ? Where::kMetadata : Where::kEntry;
        return true;
      default:
        return scalar("an object");
    }
  }

  bool end_object() override {
    if (where_ == Where::kEntry) {
      finish_entry();
      where_ = Where::kRoot;
    } else {
      where_ = where_ == Where::kMetadata ? Where::kRoot : Where::kOutside;
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (where_ == Where::kEntry && key_ == "shape") {
      where_ = Where::kShape;
      return true;
    }
    if (where_ == Where::kEntry && key_ == "data_offsets") {
      where_ = Where::kOffsets;
      return true;
    }
    return scalar("an array");
  }

  bool end_array() override {
    where_ = Where::kEntry;
    return true;
  }

  bool key(string_t& name) override {
    if (where_ == Where::kRoot) {
      start_name(name);
    } else if (where_ == Where::kMetadata) {
      if (name.size() > kMaxMetadataKey) {
        fail("ST_BAD_METADATA", fmt::format("a metadata key has {} bytes", name.size()));
      }
      if (metadata.contains(name)) duplicate(name);
      key_ = std::move(name);
    } else {
      start_field(name);
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const std::string what = error.what();
    // "NaN" is no JSON, but saying so about a shape helps nobody.
    if (where_ == Where::kShape) scalar("something that is no number");
    fail("ST_JSON_SYNTAX", fmt::format("header is not valid JSON at header byte {}: {}", position,
                                       printable(what.substr(what.rfind("; ") + 2))));
  }

 private:
  enum class Where { kOutside, kRoot, kMetadata, kEntry, kShape, kOffsets };
  enum Field : unsigned { kDtype = 1, kShapeField = 2, kOffsetsField = 4 };

  [[noreturn]] void fail(const char* code, const std::string& message) const {
    throw CheckpointError({.code = code,
                           .message = message,
                           .path = path_,
                           .tensor = entry_.name,
                           .hint = kFetchAgain});
  }
  [[noreturn]] void duplicate(const std::string& name) const {
    throw CheckpointError({.code = "ST_DUPLICATE_KEY",
                           .message = fmt::format("key \"{}\" appears twice", printable(name)),
                           .path = path_,
                           .hint = kFetchAgain});
  }

  void start_name(std::string& name) {
    entry_ = {};
    fields_ = 0;
    if (!names_.insert(name).second) duplicate(name);
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) return;
    if (name.size() > kMaxNameBytes) {
      fail("ST_NAME_TOO_LONG", fmt::format("a tensor name must have at most {} bytes, found {}: {}",
                                           kMaxNameBytes, name.size(), printable(name, 60)));
    }
    const bool control = std::any_of(name.begin(), name.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    });
    if (name.empty() || control) {
      fail("ST_BAD_NAME",
           name.empty() ? std::string("a tensor name must not be empty")
                        : fmt::format("control character in tensor name \"{}\"", printable(name)));
    }
    if (static_cast<int64_t>(entries.size()) == kMaxTensorsPerFile) {
      fail("ST_TOO_MANY_TENSORS", fmt::format("must hold at most {} tensors", kMaxTensorsPerFile));
    }
    entry_.name = std::move(name);
  }

  void start_field(std::string& name) {
    const unsigned field = name == "dtype"          ? kDtype
                           : name == "shape"        ? kShapeField
                           : name == "data_offsets" ? kOffsetsField
                                                    : 0u;
    if (field == 0) {
      fail("ST_UNKNOWN_FIELD", fmt::format("unknown field \"{}\"", printable(name, kMaxFieldName)));
    }
    if ((fields_ & field) != 0) duplicate(name);
    fields_ |= field;
    key_ = std::move(name);
  }

  /// A value of a kind that has no place here.
  bool scalar(const std::string& found) const {
    switch (where_) {
      case Where::kOutside:
        fail("ST_HEADER_NOT_OBJECT", "header must be a JSON object, found " + found);
      case Where::kRoot:
        if (in_metadata_) {
          fail("ST_BAD_METADATA", "__metadata__ must be an object of strings, found " + found);
        }
        fail("ST_BAD_ENTRY",
             "must be an object with dtype, shape and data_offsets, found " + found);
      case Where::kMetadata:
        fail("ST_BAD_METADATA", fmt::format("__metadata__[\"{}\"] must be a string, found {}",
                                            printable(key_, 60), found));
      case Where::kShape:
        fail("ST_BAD_SHAPE", "a dimension must be an unsigned 64-bit integer, found " + found);
      case Where::kOffsets:
        fail("ST_BAD_OFFSETS", "data_offsets must be two unsigned 64-bit integers, found " + found);
      case Where::kEntry:
        break;
    }
    if (key_ == "dtype") fail("ST_BAD_DTYPE", "dtype must be a string, found " + found);
    if (key_ == "shape") fail("ST_BAD_SHAPE", "shape must be an array, found " + found);
    fail("ST_BAD_OFFSETS", "data_offsets must be an array of two integers, found " + found);
  }

  void finish_entry() {
    for (const auto& [field, name] :
         {std::pair{kDtype, "dtype"}, {kShapeField, "shape"}, {kOffsetsField, "data_offsets"}}) {
      if ((fields_ & field) == 0) fail("ST_MISSING_FIELD", fmt::format("lacks {}", name));
    }
    if (entry_.n_offsets != 2) {
      fail("ST_BAD_OFFSETS",
           fmt::format("data_offsets must be two integers, found {}", entry_.n_offsets));
    }
    entries.push_back(std::move(entry_));
    entry_ = {};
  }

  const std::string& path_;
  Where where_ = Where::kOutside;
  bool in_metadata_ = false;
  unsigned fields_ = 0;
  std::string key_;
  RawEntry entry_;
  std::unordered_set<std::string> names_;
};

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& path,
                         const std::string& tensor) {
  throw CheckpointError(
      {.code = code, .message = message, .path = path, .tensor = tensor, .hint = kFetchAgain});
}

/// Bytes that shape and dtype need, every product checked in 64 bits.
uint64_t needed_bytes(const RawEntry& entry, const std::string& path) {
  uint64_t elements = 1;
  bool empty = false;
  for (const uint64_t dimension : entry.shape) {
    empty = empty || dimension == 0;
    const bool too_large = dimension > static_cast<uint64_t>(INT64_MAX);
    // The product ignores zeros: an empty tensor must not hide an impossible dimension.
    if (too_large || (dimension != 0 && __builtin_mul_overflow(elements, dimension, &elements))) {
      refuse("ST_SHAPE_OVERFLOW",
             fmt::format("shape [{}] has more elements than 64 bits can count",
                         fmt::join(entry.shape, ", ")),
             path, entry.name);
    }
  }
  uint64_t bits = 0;
  if (__builtin_mul_overflow(elements, static_cast<uint64_t>(dtype_bits(entry.dtype)), &bits)) {
    refuse("ST_SHAPE_OVERFLOW",
           fmt::format("shape [{}] of {} has more bits than 64 bits can count",
                       fmt::join(entry.shape, ", "), dtype_name(entry.dtype)),
           path, entry.name);
  }
  if (empty) return 0;
  if (bits % 8 != 0) {
    refuse("ST_SUBBYTE",
           fmt::format("shape [{}] of {} does not end on a byte boundary",
                       fmt::join(entry.shape, ", "), dtype_name(entry.dtype)),
           path, entry.name);
  }
  return bits / 8;
}

TensorInfo check_entry(RawEntry&& entry, const std::string& path) {
  const uint64_t needed = needed_bytes(entry, path);
  const auto [begin, end] = entry.offsets;
  if (end < begin) {
    refuse("ST_BAD_OFFSETS", fmt::format("ends before it begins, at bytes [{}, {})", begin, end),
           path, entry.name);
  }
  if (end - begin != needed) {
    refuse("ST_SIZE_MISMATCH",
           fmt::format("shape [{}] of {} needs {} bytes, data_offsets span {}",
                       fmt::join(entry.shape, ", "), dtype_name(entry.dtype), needed, end - begin),
           path, entry.name);
  }
  // Offsets above 2^63 turn negative here; check_tiling compares them as unsigned.
  return {.name = std::move(entry.name),
          .dtype = entry.dtype,
          .shape = {entry.shape.begin(), entry.shape.end()},
          .begin = static_cast<int64_t>(begin),
          .end = static_cast<int64_t>(end)};
}

/// Sorted by their bytes, tensors must follow each other without overlap, hole or rest.
void check_tiling(const std::vector<TensorInfo>& tensors, uint64_t data_bytes,
                  const std::string& path) {
  uint64_t next = 0;
  for (const TensorInfo& tensor : tensors) {
    const auto begin = static_cast<uint64_t>(tensor.begin);
    if (begin < next) {
      refuse("ST_OVERLAP", fmt::format("begins at byte {}, inside the tensor before it", begin),
             path, tensor.name);
    }
    if (begin > next) {
      refuse("ST_HOLE", fmt::format("bytes {}..{} before it belong to no tensor", next, begin),
             path, tensor.name);
    }
    next = static_cast<uint64_t>(tensor.end);
  }
  if (next > data_bytes) {
    throw CheckpointError(
        {.code = "ST_DATA_TRUNCATED",
         .message = fmt::format("tensors need {} data bytes, the file has {}", next, data_bytes),
         .path = path,
         .hint = "the download may be incomplete; fetch the file again"});
  }
  if (next < data_bytes) {
    refuse("ST_TRAILING_DATA", fmt::format("{} bytes follow the last tensor", data_bytes - next),
           path, {});
  }
}

/// The header must begin with '{'; a first byte that begins some other JSON value says which fault.
void check_first_byte(std::string_view header, const std::string& path) {
  if (header.empty()) refuse("ST_JSON_SYNTAX", "the header is empty", path, {});
  constexpr std::string_view kOtherValue = "[\"-0123456789tfn";
  const char first = header.front();
  if (first == '{') return;
  if (first == ' ' || first == '\t' || first == '\n' || first == '\r') {
    refuse("ST_HEADER_START", "header must begin with '{', found white space", path, {});
  }
  if (kOtherValue.find(first) != std::string_view::npos) {
    refuse("ST_HEADER_NOT_OBJECT", "header must be a JSON object", path, {});
  }
  refuse("ST_JSON_SYNTAX", "header is not valid JSON at header byte 1", path, {});
}

}  // namespace

TensorTable parse_safetensors_header(std::string_view header, int64_t data_bytes,
                                     const std::string& path) {
  if (!is_utf8(header)) refuse("ST_NOT_UTF8", "header is not valid UTF-8", path, {});
  check_first_byte(header, path);
  const size_t nul = header.find('\0');  // nlohmann takes it for the end of the text
  HeaderSax sax(path);
  if (nul != std::string_view::npos) {
    refuse("ST_JSON_SYNTAX", fmt::format("NUL at header byte {}", nul), path, {});
  }
  nlohmann::json::sax_parse(header, &sax);

  TensorTable result;
  result.metadata = std::move(sax.metadata);
  result.tensors.reserve(sax.entries.size());
  for (RawEntry& entry : sax.entries) {
    result.tensors.push_back(check_entry(std::move(entry), path));
  }
  std::sort(result.tensors.begin(), result.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) {
              const auto key = [](const TensorInfo& t) {
                return std::tuple(static_cast<uint64_t>(t.begin), static_cast<uint64_t>(t.end),
                                  std::string_view(t.name));
              };
              return key(a) < key(b);
            });
  check_tiling(result.tensors, static_cast<uint64_t>(data_bytes), path);
  return result;
}

}  // namespace regroup
