#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "regroup/base/input_file.h"

namespace regroup::parquet {

/// Types of Thrift's compact protocol, by their numbers.
enum class ThriftType : uint8_t {
  kTrue = 1,
  kFalse = 2,
  kByte = 3,
  kInt16 = 4,
  kInt32 = 5,
  kInt64 = 6,
  kDouble = 7,
  kBinary = 8,
  kList = 9,
  kSet = 10,
  kMap = 11,
  kStruct = 12,
  kUuid = 13,
};

struct ThriftField {
  int32_t id = 0;
  ThriftType type = ThriftType::kStruct;
};

/// Reads structs of Thrift's compact protocol, in which footer and page headers of Parquet are written, out of a
/// part of a file, block by block. Source: thrift/doc/specs/thrift-compact-protocol.md of apache/thrift.
/// Everything throws CheckpointError with the code given here where the bytes end too soon, a type is not the one
/// asked for, or structs nest beyond 32 levels.
class ThriftReader {
 public:
  /// @param begin, end  bytes of the file
  ThriftReader(const InputFile& file, int64_t begin, int64_t end, const char* code,
               std::string place)
      : file_(file), at_(begin), end_(end), code_(code), place_(std::move(place)) {}

  /// Calls `read` with each field. What it returns false for is skipped; what it returns true for it has read.
  void structure(const std::function<bool(ThriftField)>& read);
  /// Calls `read` for each element. @return how many there were
  int64_t list(ThriftField field, const std::function<void(ThriftField element)>& read);
  /// An integer of 8 to 64 bits that must lie in [min, max].
  int64_t integer(ThriftField field, int64_t min, int64_t max);
  bool boolean(ThriftField field) const;
  /// At most 64 KiB.
  std::string text(ThriftField field);
  /// The byte of the file behind what was read.
  int64_t position() const { return at_; }
  [[noreturn]] void fail(const std::string& message) const;

 private:
  struct Deeper;
  uint8_t byte();
  uint64_t varint();
  int64_t zigzag();
  int64_t length();
  int32_t next_id(uint8_t header, int32_t before);
  void skip(ThriftType type);
  void skip_element(ThriftType type);
  void skip_bytes(int64_t count);

  const InputFile& file_;
  int64_t at_;
  int64_t end_;
  const char* code_;
  std::string place_;
  std::string block_;
  int64_t block_begin_ = 0;
  int depth_ = 0;
};

}  // namespace regroup::parquet
