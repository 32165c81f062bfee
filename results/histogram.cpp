#include "regroup/results/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace regroup {
namespace {

constexpr int kBinShift = 16;     // of a float32's bits: what is left is a bfloat16
constexpr int kCountBits = 48;    // of a packed bin
constexpr size_t kHeadWords = 3;  // of a packed histogram: bins, numbers that are none, extremes

/// Counts from 0 outwards; negative for negative numbers, so that bins are in the order of their numbers.
int16_t bin_of(float value) {
  const auto size = static_cast<int16_t>(std::bit_cast<uint32_t>(std::abs(value)) >> kBinShift);
  return std::signbit(value) ? static_cast<int16_t>(-size) : size;
}

/// The end of a bin that is nearer to 0.
double inner_end(int size) {
  return std::bit_cast<float>(static_cast<uint32_t>(size) << kBinShift);
}

/// The number that stands at `part` of a bin.
double number_in(int16_t bin, double part) {
  if (bin == 0) return 0;
  const int size = std::abs(bin);
  const double inner = inner_end(size);
  if (std::isinf(inner)) return bin < 0 ? -inner : inner;
  const double width = inner_end(size + 1) - inner;
  return bin < 0 ? -(inner + width * (1 - part)) : inner + width * part;
}

}  // namespace

void Histogram::add(float value) {
  if (std::isnan(value)) {
    ++nans_;
    return;
  }
  if (std::abs(value) < kSmallest) value = 0;
  ++bins_[bin_of(value)];
  ++numbers_;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
}

void Histogram::add(const Histogram& other) {
  for (const auto& [bin, count] : other.bins_) bins_[bin] += count;
  numbers_ += other.numbers_;
  nans_ += other.nans_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

double Histogram::number_at(int64_t rank) const {
  if (rank <= 0) return min_;
  if (rank >= numbers_ - 1) return max_;
  for (const auto& [bin, count] : bins_) {
    if (rank < count) {
      const double part = (static_cast<double>(rank) + 0.5) / static_cast<double>(count);
      return std::clamp<double>(number_in(bin, part), min_, max_);
    }
    rank -= count;
  }
  return max_;
}

double Histogram::quantile(double share) const {
  if (numbers_ == 0 || nans_ > 0) return std::numeric_limits<double>::quiet_NaN();
  const double at = std::clamp(share, 0.0, 1.0) * static_cast<double>(numbers_ - 1);
  const auto rank = static_cast<int64_t>(at);
  const double below = number_at(rank);
  const double rest = at - static_cast<double>(rank);
  const double above = rest > 0 ? number_at(rank + 1) : below;
  return above == below ? below : below + rest * (above - below);  // of two infinities no NaN
}

Histogram::Place Histogram::place_of(double share) const {
  double left = std::clamp(share, 0.0, 1.0) * static_cast<double>(numbers_);
  Place place;
  for (const auto& [bin, count] : bins_) {
    const auto here = static_cast<double>(count);
    place = {bin, std::min(1.0, left / here)};
    if (left <= here) break;
    left -= here;
  }
  return place;
}

double Histogram::count_below(const Place& place) const {
  double below = 0;
  for (const auto& [bin, count] : bins_) {
    if (bin > place.bin) break;
    below += static_cast<double>(count) * (bin < place.bin ? 1 : place.part);
  }
  return below;
}

std::vector<uint64_t> pack_histograms(const std::vector<Histogram>& histograms) {
  std::vector<uint64_t> packed;
  for (const Histogram& histogram : histograms) {
    const uint64_t low = std::bit_cast<uint32_t>(histogram.min_);
    const uint64_t high = std::bit_cast<uint32_t>(histogram.max_);
    packed.insert(packed.end(), {histogram.bins_.size(), static_cast<uint64_t>(histogram.nans_),
                                 low << 32 | high});
    for (const auto& [bin, count] : histogram.bins_) {
      packed.push_back(uint64_t{static_cast<uint16_t>(bin)} << kCountBits |
                       static_cast<uint64_t>(count));
    }
  }
  return packed;
}

std::vector<Histogram> unpack_histograms(const std::vector<uint64_t>& packed) {
  std::vector<Histogram> histograms;
  for (size_t at = 0; at + kHeadWords <= packed.size();) {
    Histogram histogram;
    const size_t end = at + kHeadWords + packed[at];
    histogram.nans_ = static_cast<int64_t>(packed[at + 1]);
    histogram.min_ = std::bit_cast<float>(static_cast<uint32_t>(packed[at + 2] >> 32));
    histogram.max_ = std::bit_cast<float>(static_cast<uint32_t>(packed[at + 2]));
    for (at += kHeadWords; at < std::min(end, packed.size()); ++at) {
      const auto count = static_cast<int64_t>(packed[at] & ((uint64_t{1} << kCountBits) - 1));
      histogram.bins_[static_cast<int16_t>(packed[at] >> kCountBits)] = count;
      histogram.numbers_ += count;
    }
    histograms.push_back(std::move(histogram));
  }
  return histograms;
}

}  // namespace regroup
