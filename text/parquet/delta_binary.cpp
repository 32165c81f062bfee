#include "delta_binary.h"

#include <algorithm>

#include "little_endian.h"
#include "parquet_errors.h"

namespace regroup::parquet {
namespace {

constexpr uint64_t kMaxDeltaBlock = 1 << 20;  // integers; writers take 128

[[noreturn]] void refuse_delta(const std::string& place, const char* message) {
  refuse("PARQUET_VALUES", place, message);
}

}  // namespace

DeltaBinary::DeltaBinary(std::string_view bytes, std::string place)
    : bytes_(bytes), place_(std::move(place)) {
  const uint64_t block = varint();
  n_miniblocks_ = varint();
  left_ = varint();
  value_ = zigzag();
  const bool fits = block > 0 && block <= kMaxDeltaBlock && n_miniblocks_ > 0 &&
                    block % n_miniblocks_ == 0 && block / n_miniblocks_ % 8 == 0;
  if (!fits) refuse_delta(place_, "its blocks of differences must divide into parts of 8 n");
  in_miniblock_ = block / n_miniblocks_;
  miniblock_ = n_miniblocks_;
}

uint64_t DeltaBinary::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 70 && at_ < bytes_.size(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes_[at_++]);
    if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  refuse_delta(place_, "a block of differences must lie in its page");
}

uint64_t DeltaBinary::zigzag() {
  const uint64_t bits = varint();
  return (bits >> 1) ^ (0 - (bits & 1));
}

std::string_view DeltaBinary::take(uint64_t bytes) {
  if (bytes > bytes_.size() - at_) {
    refuse_delta(place_, "a block of differences must lie in its page");
  }
  const std::string_view taken = bytes_.substr(at_, bytes);
  at_ += bytes;
  return taken;
}

void DeltaBinary::next_block() {
  smallest_ = zigzag();
  widths_ = take(n_miniblocks_);
  miniblock_ = 0;
}

void DeltaBinary::next_miniblock() {
  if (miniblock_ == n_miniblocks_) next_block();
  const auto width = static_cast<uint8_t>(widths_[miniblock_++]);
  if (width > 64) refuse_delta(place_, "differences must have at most 64 bits");
  packed_ = take(in_miniblock_ * width / 8);
  left_here_ = in_miniblock_;
  at_bit_ = 0;
}

uint64_t DeltaBinary::next() {
  if (left_ == 0) refuse_delta(place_, "must hold as many values as its pages promise");
  --left_;
  if (at_first_) {
    at_first_ = false;
    return value_;
  }
  if (left_here_ == 0) next_miniblock();
  --left_here_;
  const auto width = static_cast<uint8_t>(widths_[miniblock_ - 1]);
  value_ += smallest_ + load_bits(packed_, at_bit_, width);
  at_bit_ += width;
  return value_;
}

size_t DeltaBinary::encoded_bytes() const {
  DeltaBinary walk = *this;
  uint64_t left = walk.left_ > 0 && walk.at_first_ ? walk.left_ - 1 : walk.left_;
  left -= std::min(left, walk.left_here_);
  while (left > 0) {
    walk.next_miniblock();
    left -= std::min(left, walk.left_here_);
  }
  return walk.at_;
}

}  // namespace regroup::parquet
