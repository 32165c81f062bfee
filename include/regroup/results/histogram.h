#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <vector>

namespace regroup {

/// How many float32 numbers lie where, in memory that does not grow with them. Numbers of one bin share sign, exponent and the
/// first 7 bits of the mantissa: a bin is at most 2^-7 of its numbers wide (0.8 %), however small or large they are. Below
/// kSmallest, which is rounding for probabilities in float32, all count as 0.
class Histogram {
 public:
  static constexpr float kSmallest = 0x1p-24F;

  void add(float value);
  void add(const Histogram& other);

  /// Count of values, NaN included.
  int64_t count() const { return numbers_ + nans_; }
  /// Where `share` of the numbers lie below: linear between the two next to share * (count - 1), as numpy's and llama.cpp's
  /// percentiles. Off by at most a bin's width; exact at 0 and 1. NaN of nothing, and where a NaN was added.
  double quantile(double share) const;

  /// A point of the line of numbers: this part of the numbers of a bin lies below it.
  struct Place {
    int16_t bin = 0;
    double part = 0;
  };
  /// Of all numbers `share` lie below it, to a fraction of a number.
  Place place_of(double share) const;
  double count_below(const Place& place) const;

  bool operator==(const Histogram&) const = default;

 private:
  friend std::vector<uint64_t> pack_histograms(const std::vector<Histogram>& histograms);
  friend std::vector<Histogram> unpack_histograms(const std::vector<uint64_t>& packed);
  double number_at(int64_t rank) const;

  std::map<int16_t, int64_t> bins_;  // those that hold some, from the lowest numbers on
  int64_t numbers_ = 0;
  int64_t nans_ = 0;
  float min_ = std::numeric_limits<float>::infinity();
  float max_ = -std::numeric_limits<float>::infinity();
};

/// Exactly what histograms hold, in 8 bytes a bin that is not empty and 24 a histogram.
std::vector<uint64_t> pack_histograms(const std::vector<Histogram>& histograms);
std::vector<Histogram> unpack_histograms(const std::vector<uint64_t>& packed);

}  // namespace regroup
