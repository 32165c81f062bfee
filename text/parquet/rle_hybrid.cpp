#include "rle_hybrid.h"

#include <fmt/format.h>

#include "little_endian.h"
#include "parquet_errors.h"

namespace regroup::parquet {

RleHybrid::RleHybrid(std::string_view bytes, unsigned bits, std::string place)
    : left_(bytes), bits_(bits), place_(std::move(place)) {
  if (bits > 32) {
    refuse("PARQUET_VALUES", place_,
           fmt::format("its numbers must have at most 32 bits, found {}", bits));
  }
}

uint64_t RleHybrid::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 35 && !left_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(left_.front());
    left_.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  refuse("PARQUET_VALUES", place_, "must hold as many numbers as its pages promise, found fewer");
}

void RleHybrid::next_run() {
  const uint64_t header = varint();
  is_packed_ = (header & 1) != 0;
  in_run_ = is_packed_ ? (header >> 1) * 8 : header >> 1;
  const uint64_t bytes = is_packed_ ? (header >> 1) * bits_ : (bits_ + 7) / 8;
  if (bytes > left_.size()) {
    refuse("PARQUET_VALUES", place_,
           fmt::format("a run must lie in its page, found {} bytes of {}", left_.size(), bytes));
  }
  packed_ = left_.substr(0, bytes);
  left_.remove_prefix(bytes);
  at_bit_ = 0;
  if (!is_packed_) repeated_ = static_cast<uint32_t>(load_little(packed_));
}

uint32_t RleHybrid::next() {
  while (in_run_ == 0) next_run();
  --in_run_;
  if (!is_packed_) return repeated_;
  const auto value = static_cast<uint32_t>(load_bits(packed_, at_bit_, bits_));
  at_bit_ += bits_;
  return value;
}

}  // namespace regroup::parquet
