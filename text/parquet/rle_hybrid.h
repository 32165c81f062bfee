#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace regroup::parquet {

/// Levels, dictionary indices and booleans: runs of one number, and numbers packed bit by bit, taken one at a time, so
/// that a run of any length costs no memory. Source: "RLE / Bit-Packing Hybrid" of Encodings.md of apache/parquet-format.
class RleHybrid {
 public:
  RleHybrid() = default;
  /// @param bits  of a number, at most 32; the bytes must outlive this
  /// @throws CheckpointError PARQUET_VALUES where bits are more, and from next() where no number is left
  RleHybrid(std::string_view bytes, unsigned bits, std::string place);
  uint32_t next();

 private:
  void next_run();
  uint64_t varint();

  std::string_view left_;
  unsigned bits_ = 0;
  std::string place_;
  uint64_t in_run_ = 0;  // numbers that it still has
  bool is_packed_ = false;
  uint32_t repeated_ = 0;
  uint64_t at_bit_ = 0;  // of a packed run
  std::string_view packed_;
};

}  // namespace regroup::parquet
