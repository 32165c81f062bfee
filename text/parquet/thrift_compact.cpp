#include "thrift_compact.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "parquet_errors.h"

namespace regroup::parquet {
namespace {

constexpr int64_t kThriftBlock = 4096;
constexpr int64_t kMaxThriftText = 1 << 16;
constexpr int kMaxThriftDepth = 32;

bool is_boolean(ThriftType type) { return type == ThriftType::kTrue || type == ThriftType::kFalse; }

int64_t from_zigzag(uint64_t bits) { return static_cast<int64_t>((bits >> 1) ^ (0 - (bits & 1))); }

}  // namespace

struct ThriftReader::Deeper {
  explicit Deeper(ThriftReader& from) : reader(from) {
    if (++reader.depth_ > kMaxThriftDepth) {
      reader.fail(fmt::format("its structs must nest at most {} deep", kMaxThriftDepth));
    }
  }
  ~Deeper() { --reader.depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  ThriftReader& reader;
};

void ThriftReader::fail(const std::string& message) const { refuse(code_, place_, message); }

uint8_t ThriftReader::byte() {
  if (at_ >= end_) fail(fmt::format("its description must end before byte {} of the file", end_));
  if (at_ < block_begin_ || at_ >= block_begin_ + static_cast<int64_t>(block_.size())) {
    block_.resize(static_cast<size_t>(std::min(kThriftBlock, end_ - at_)));
    file_.read(at_, std::as_writable_bytes(std::span(block_)));
    block_begin_ = at_;
  }
  return static_cast<uint8_t>(block_[static_cast<size_t>(at_++ - block_begin_)]);
}

uint64_t ThriftReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const uint8_t next = byte();
    value |= static_cast<uint64_t>(next & 0x7F) << shift;
    if ((next & 0x80) == 0) return value;
  }
  fail("its numbers must have at most 64 bits");
}

int64_t ThriftReader::zigzag() { return from_zigzag(varint()); }

/// Each element and each character takes a byte at least.
int64_t ThriftReader::length() {
  const uint64_t count = varint();
  const auto left = static_cast<uint64_t>(end_ - at_);
  if (count > left) fail(fmt::format("must hold {} more bytes at least, found {}", count, left));
  return static_cast<int64_t>(count);
}

int32_t ThriftReader::next_id(uint8_t header, int32_t before) {
  const int32_t step = header >> 4;
  const int64_t id = step != 0 ? before + step : zigzag();
  if (id < 0 || id > INT16_MAX) fail(fmt::format("must number its fields, found number {}", id));
  return static_cast<int32_t>(id);
}

void ThriftReader::structure(const std::function<bool(ThriftField)>& read) {
  const Deeper deeper(*this);
  int32_t id = 0;
  while (const uint8_t header = byte()) {
    id = next_id(header, id);
    const ThriftField field{.id = id, .type = static_cast<ThriftType>(header & 0x0F)};
    if (!read(field)) skip(field.type);
  }
}

int64_t ThriftReader::list(ThriftField field, const std::function<void(ThriftField)>& read) {
  if (field.type != ThriftType::kList && field.type != ThriftType::kSet) {
    fail(fmt::format("field {} must be a list", field.id));
  }
  const Deeper deeper(*this);
  const uint8_t header = byte();
  const ThriftField element{.id = field.id, .type = static_cast<ThriftType>(header & 0x0F)};
  const int64_t left = end_ - at_;
  const int64_t count = header >> 4 != 15 ? header >> 4 : length();
  if (count > left) fail(fmt::format("must hold a list of {}, found {} bytes", count, left));
  for (int64_t i = 0; i < count; ++i) read(element);
  return count;
}

int64_t ThriftReader::integer(ThriftField field, int64_t min, int64_t max) {
  int64_t value = 0;
  if (field.type == ThriftType::kByte) {
    value = static_cast<int8_t>(byte());  // NOLINT(bugprone-signed-char-misuse): it has a sign
  } else if (field.type >= ThriftType::kInt16 && field.type <= ThriftType::kInt64) {
    value = zigzag();
  } else {
    fail(fmt::format("field {} must be an integer", field.id));
  }
  if (value < min || value > max) {
    fail(fmt::format("field {} must be from {} to {}, found {}", field.id, min, max, value));
  }
  return value;
}

bool ThriftReader::boolean(ThriftField field) const {
  if (!is_boolean(field.type)) fail(fmt::format("field {} must be true or false", field.id));
  return field.type == ThriftType::kTrue;
}

std::string ThriftReader::text(ThriftField field) {
  if (field.type != ThriftType::kBinary) fail(fmt::format("field {} must be a text", field.id));
  const int64_t bytes = length();
  if (bytes > kMaxThriftText) {
    fail(fmt::format("field {} must have at most {} bytes, found {}", field.id, kMaxThriftText,
                     bytes));
  }
  std::string text(static_cast<size_t>(bytes), '\0');
  file_.read(at_, std::as_writable_bytes(std::span(text)));
  at_ += bytes;
  return text;
}

void ThriftReader::skip_bytes(int64_t count) {
  if (count > end_ - at_) {
    fail(fmt::format("must hold {} more bytes, found {}", count, end_ - at_));
  }
  at_ += count;
}

/// In lists and maps a boolean is a byte; as a field it stands in the header.
void ThriftReader::skip_element(ThriftType type) {
  if (is_boolean(type)) return skip_bytes(1);
  skip(type);
}

void ThriftReader::skip(ThriftType type) {
  const Deeper deeper(*this);
  switch (type) {
    case ThriftType::kTrue:
    case ThriftType::kFalse:
      return;
    case ThriftType::kByte:
      return skip_bytes(1);
    case ThriftType::kInt16:
    case ThriftType::kInt32:
    case ThriftType::kInt64:
      varint();
      return;
    case ThriftType::kDouble:
      return skip_bytes(8);
    case ThriftType::kUuid:
      return skip_bytes(16);
    case ThriftType::kBinary:
      return skip_bytes(length());
    case ThriftType::kList:
    case ThriftType::kSet:
      list({.type = type}, [this](ThriftField element) { skip_element(element.type); });
      return;
    case ThriftType::kStruct:
      return structure([](ThriftField) { return false; });
    case ThriftType::kMap: {
      const int64_t count = length();
      const uint8_t types = count > 0 ? byte() : 0;
      for (int64_t i = 0; i < count; ++i) {
        skip_element(static_cast<ThriftType>(types >> 4));
        skip_element(static_cast<ThriftType>(types & 0x0F));
      }
      return;
    }
  }
  fail(fmt::format("must have fields of Thrift's types, found type {}", static_cast<int>(type)));
}

}  // namespace regroup::parquet
