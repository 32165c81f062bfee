#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace regroup::parquet {

/// Integers as differences, block by block (DELTA_BINARY_PACKED), taken one at a time.
/// Source: "Delta Encoding" of Encodings.md of apache/parquet-format.
class DeltaBinary {
 public:
  /// @throws CheckpointError PARQUET_VALUES here and from the others; the bytes must outlive this
  DeltaBinary(std::string_view bytes, std::string place);
  /// Two's complement of 64 bits; the lower 32 of them are an INT32.
  uint64_t next();
  /// How many bytes all of its integers take: what stands behind them is something else.
  size_t encoded_bytes() const;

 private:
  uint64_t varint();
  uint64_t zigzag();
  std::string_view take(uint64_t bytes);
  void next_block();
  void next_miniblock();

  std::string_view bytes_;
  size_t at_ = 0;
  std::string place_;
  uint64_t n_miniblocks_ = 0;  // in a block
  uint64_t in_miniblock_ = 0;  // integers, when it is full
  uint64_t left_ = 0;          // integers of all
  uint64_t value_ = 0;
  bool at_first_ = true;
  uint64_t smallest_ = 0;  // difference of the block
  std::string_view widths_;
  uint64_t miniblock_ = 0;
  std::string_view packed_;
  uint64_t left_here_ = 0;  // integers of the miniblock
  uint64_t at_bit_ = 0;
};

}  // namespace regroup::parquet
