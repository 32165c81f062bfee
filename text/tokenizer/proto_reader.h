#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace regroup {

/// Walks through the fields of a protobuf message. What a reader might take in two ways ends the
/// walk: groups, tags of more than 32 bits, lengths beyond the end.
class ProtoReader {
 public:
  enum class Kind : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  struct Field {
    uint32_t number = 0;
    Kind kind = Kind::kVarint;
    uint64_t value = 0;      ///< of kVarint, and the bits of kFixed32
    std::string_view bytes;  ///< of kBytes
  };

  explicit ProtoReader(std::string_view message) : left_(message) {}

  /// The next field; nothing at the end, and where the message is damaged.
  std::optional<Field> next() {
    if (left_.empty() || damaged_) return std::nullopt;
    Field field;
    const auto tag = varint();
    damaged_ =
        !tag || *tag > UINT32_MAX || *tag >> 3 == 0 || !read(static_cast<uint32_t>(*tag), field);
    return damaged_ ? std::nullopt : std::optional(field);
  }
  bool damaged() const { return damaged_; }

 private:
  bool read(uint32_t tag, Field& field) {
    field.number = tag >> 3;
    field.kind = static_cast<Kind>(tag & 7);
    switch (field.kind) {
      case Kind::kVarint: {
        const auto value = varint();
        field.value = value.value_or(0);
        return value.has_value();
      }
      case Kind::kFixed64:
        return take(8).has_value();
      case Kind::kFixed32: {
        const auto bytes = take(4);
        for (size_t i = 4; bytes && i-- > 0;)
          field.value = field.value << 8 | static_cast<unsigned char>((*bytes)[i]);
        return bytes.has_value();
      }
      case Kind::kBytes: {
        const auto length = varint();
        const auto bytes = length ? take(*length) : std::nullopt;
        field.bytes = bytes.value_or(std::string_view());
        return bytes.has_value();
      }
    }
    return false;
  }

  std::optional<uint64_t> varint() {
    constexpr int kMaxShift = 63;
    uint64_t value = 0;
    for (int shift = 0; shift <= kMaxShift && !left_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(left_.front());
      left_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::optional<std::string_view> take(uint64_t bytes) {
    if (bytes > left_.size()) return std::nullopt;
    const std::string_view taken = left_.substr(0, bytes);
    left_.remove_prefix(bytes);
    return taken;
  }

  std::string_view left_;
  bool damaged_ = false;
};

}  // namespace regroup
