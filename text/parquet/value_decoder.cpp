#include "value_decoder.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "delta_binary.h"
#include "little_endian.h"
#include "parquet_errors.h"
#include "rle_hybrid.h"
#include "value_bytes.h"

namespace regroup::parquet {
namespace {

/// Encoding of parquet.thrift.
enum Encoding : int32_t {
  kPlain = 0,
  kPlainDictionary = 2,
  kRle = 3,
  kDeltaBinaryPacked = 5,
  kDeltaLengthByteArray = 6,
  kDeltaByteArray = 7,
  kRleDictionary = 8,
  kByteStreamSplit = 9,
};

bool is_integer(ValueKind kind) { return kind >= ValueKind::kInt32 && kind <= ValueKind::kUint64; }

class PlainNumbers : public ValueDecoder {
 public:
  PlainNumbers(ValueKind kind, std::string_view bytes, std::string place)
      : kind_(kind), left_(bytes), place_(std::move(place)) {}
  Json next() override {
    return number_of(kind_, load_little(take_front(left_, number_bytes(kind_), place_)));
  }

 private:
  ValueKind kind_;
  std::string_view left_;
  std::string place_;
};

class PlainBooleans : public ValueDecoder {
 public:
  PlainBooleans(std::string_view bytes, std::string place)
      : bytes_(bytes), place_(std::move(place)) {}
  Json next() override {
    if (at_ / 8 >= bytes_.size()) refuse_values(place_);
    return load_bits(bytes_, at_++, 1) != 0;
  }

 private:
  std::string_view bytes_;
  uint64_t at_ = 0;
  std::string place_;
};

class PlainTexts : public ValueDecoder {
 public:
  PlainTexts(std::string_view bytes, std::string place) : left_(bytes), place_(std::move(place)) {}
  Json next() override { return std::string(take_text(left_, place_)); }

 private:
  std::string_view left_;
  std::string place_;
};

class RunLengthBooleans : public ValueDecoder {
 public:
  RunLengthBooleans(std::string_view bytes, const std::string& place)
      : runs_(take_text(bytes, place), 1, place) {}
  Json next() override { return (runs_.next() & 1) != 0; }

 private:
  RleHybrid runs_;
};

class DictionaryValues : public ValueDecoder {
 public:
  DictionaryValues(const Dictionary& dictionary, std::string_view bytes, const std::string& place)
      : dictionary_(dictionary) {
    if (bytes.empty()) bytes = std::string_view("\0", 1);  // of a page of nulls
    const auto bits = static_cast<uint8_t>(bytes.front());
    indices_ = RleHybrid(bytes.substr(1), bits, place);
  }
  Json next() override { return dictionary_.at(indices_.next()); }

 private:
  const Dictionary& dictionary_;
  RleHybrid indices_;
};

class DeltaNumbers : public ValueDecoder {
 public:
  DeltaNumbers(ValueKind kind, std::string_view bytes, const std::string& place)
      : kind_(kind), numbers_(bytes, place) {}
  Json next() override { return number_of(kind_, numbers_.next()); }

 private:
  ValueKind kind_;
  DeltaBinary numbers_;
};

/// All lengths, then all texts (DELTA_LENGTH_BYTE_ARRAY).
class DeltaLengthTexts : public ValueDecoder {
 public:
  DeltaLengthTexts(std::string_view bytes, const std::string& place)
      : lengths_(bytes, place), left_(bytes.substr(lengths_.encoded_bytes())), place_(place) {}
  std::string_view next_text() { return take_front(left_, lengths_.next(), place_); }
  Json next() override { return std::string(next_text()); }

 private:
  DeltaBinary lengths_;
  std::string_view left_;
  std::string place_;
};

/// How much each text shares with the one before it, then what follows (DELTA_BYTE_ARRAY).
class DeltaTexts : public ValueDecoder {
 public:
  DeltaTexts(std::string_view bytes, const std::string& place)
      : shared_(bytes, place), rest_(bytes.substr(shared_.encoded_bytes()), place), place_(place) {}
  Json next() override {
    const uint64_t shared = shared_.next();
    if (shared > text_.size()) {
      refuse("PARQUET_VALUES", place_,
             fmt::format("a text must share at most the {} bytes of the one before it, found {}",
                         text_.size(), shared));
    }
    text_.resize(shared);
    text_ += rest_.next_text();
    return text_;
  }

 private:
  DeltaBinary shared_;
  DeltaLengthTexts rest_;
  std::string place_;
  std::string text_;
};

/// The first bytes of all numbers, then the second ones, and so on (BYTE_STREAM_SPLIT).
class SplitNumbers : public ValueDecoder {
 public:
  SplitNumbers(ValueKind kind, std::string_view bytes, std::string place)
      : kind_(kind), bytes_(bytes), place_(std::move(place)) {}
  Json next() override {
    const size_t width = number_bytes(kind_);
    const size_t count = bytes_.size() / width;
    if (at_ >= count) refuse_values(place_);
    std::array<char, 8> number = {};
    for (size_t i = 0; i < width; ++i) number[i] = bytes_[i * count + at_];
    ++at_;
    return number_of(kind_, load_little({number.data(), width}));
  }

 private:
  ValueKind kind_;
  std::string_view bytes_;
  size_t at_ = 0;
  std::string place_;
};

std::unique_ptr<ValueDecoder> make_plain(ValueKind kind, std::string_view values,
                                         const std::string& place) {
  if (kind == ValueKind::kText) return std::make_unique<PlainTexts>(values, place);
  if (kind == ValueKind::kBoolean) return std::make_unique<PlainBooleans>(values, place);
  return std::make_unique<PlainNumbers>(kind, values, place);
}

[[noreturn]] void refuse_encoding(int32_t encoding, const std::string& place) {
  constexpr auto kNames = std::to_array<const char*>(
      {"PLAIN", "encoding 1", "PLAIN_DICTIONARY", "RLE", "BIT_PACKED", "DELTA_BINARY_PACKED",
       "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "RLE_DICTIONARY", "BYTE_STREAM_SPLIT"});
  const bool is_known = encoding >= 0 && static_cast<size_t>(encoding) < kNames.size();
  refuse_unsupported(place, fmt::format("must have its values in an encoding that is read, found "
                                        "{}, which is not for this type",
                                        is_known ? kNames[static_cast<size_t>(encoding)]
                                                 : fmt::format("encoding {}", encoding)));
}

}  // namespace

Dictionary::Dictionary(Page page, ValueKind kind, std::string place)
    : page_(std::move(page)), kind_(kind), place_(std::move(place)) {
  if (page_.encoding != kPlain && page_.encoding != kPlainDictionary) {
    refuse_encoding(page_.encoding, place_);
  }
  if (kind_ == ValueKind::kBoolean) refuse_encoding(kRleDictionary, place_);
  const size_t smallest = kind_ == ValueKind::kText ? 4 : number_bytes(kind_);
  if (static_cast<size_t>(page_.n_values) > page_.bytes.size() / smallest) refuse_values(place_);
  if (kind_ != ValueKind::kText) return;
  begins_.reserve(static_cast<size_t>(page_.n_values));
  std::string_view left = page_.bytes;
  for (int64_t i = 0; i < page_.n_values; ++i) {
    begins_.push_back(static_cast<uint32_t>(page_.bytes.size() - left.size()));
    take_text(left, place_);
  }
}

Json Dictionary::at(uint32_t index) const {
  if (index >= page_.n_values) {
    refuse("PARQUET_VALUES", place_,
           fmt::format("must refer to one of {} values of its dictionary, found {}", page_.n_values,
                       index));
  }
  if (kind_ != ValueKind::kText) {
    const size_t width = number_bytes(kind_);
    return number_of(kind_,
                     load_little(std::string_view(page_.bytes).substr(index * width, width)));
  }
  std::string_view from_here = std::string_view(page_.bytes).substr(begins_[index]);
  return std::string(take_text(from_here, place_));
}

int64_t Dictionary::bytes() const {
  return static_cast<int64_t>(page_.bytes.size() + begins_.size() * sizeof(uint32_t));
}

std::unique_ptr<ValueDecoder> make_decoder(int32_t encoding, ValueKind kind,
                                           std::string_view values, const Dictionary* dictionary,
                                           const std::string& place) {
  const bool is_text = kind == ValueKind::kText;
  const bool is_number = !is_text && kind != ValueKind::kBoolean;
  if (encoding == kPlain) return make_plain(kind, values, place);
  if (encoding == kPlainDictionary || encoding == kRleDictionary) {
    if (dictionary == nullptr) {
      refuse("PARQUET_VALUES", place, "must have the dictionary that its pages refer to");
    }
    return std::make_unique<DictionaryValues>(*dictionary, values, place);
  }
  if (encoding == kRle && kind == ValueKind::kBoolean) {
    return std::make_unique<RunLengthBooleans>(values, place);
  }
  if (encoding == kDeltaBinaryPacked && is_integer(kind)) {
    return std::make_unique<DeltaNumbers>(kind, values, place);
  }
  if (encoding == kDeltaLengthByteArray && is_text) {
    return std::make_unique<DeltaLengthTexts>(values, place);
  }
  if (encoding == kDeltaByteArray && is_text) return std::make_unique<DeltaTexts>(values, place);
  if (encoding == kByteStreamSplit && is_number) {
    return std::make_unique<SplitNumbers>(kind, values, place);
  }
  refuse_encoding(encoding, place);
}

}  // namespace regroup::parquet
