#include "distribution.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace regroup {
namespace {

constexpr int kPieces = 8;  // of a slope, each of which goes to one bin

/// Interpolated between the two samples around it. What lies before `from` is known to be smaller, and is left alone.
/// @return also the place from which on samples are at least the lower of the two
std::pair<double, size_t> take_quantile(std::vector<float>& samples, size_t from, double share) {
  const double place = share * static_cast<double>(samples.size() - 1);
  const auto low = static_cast<size_t>(place);
  const auto at = [&](size_t i) { return samples.begin() + static_cast<std::ptrdiff_t>(i); };
  std::nth_element(at(from), at(low), samples.end());
  const auto below = static_cast<double>(samples[low]);
  const bool last = low + 1 == samples.size();
  const double above =
      last ? below : static_cast<double>(*std::min_element(at(low + 1), samples.end()));
  return {below + (place - std::floor(place)) * (above - below), low};
}

}  // namespace

TimeSpread::TimeSpread(double max, size_t bins)
    : scale_(static_cast<double>(bins - 1) / std::max(max, 1e-300)), bins_(bins) {}

void TimeSpread::add(double seconds, double from, double to) {
  seconds_ += seconds;
  sum_ += seconds * (from + to) / 2;
  squares_ += seconds * (from * from + from * to + to * to) / 3;
  max_ = std::max({max_, from, to});
  const int pieces = from == to ? 1 : kPieces;
  for (int i = 0; i < pieces; ++i) {
    const double value = from + (to - from) * (i + 0.5) / pieces;
    const double bin =
        std::clamp(std::round(value * scale_), 0.0, static_cast<double>(bins_.size() - 1));
    bins_[static_cast<size_t>(bin)] += seconds / pieces;
  }
}

Spread TimeSpread::spread() const {
  if (seconds_ <= 0) return {};
  const auto quantile = [&](double share) {
    double passed = 0;
    for (size_t bin = 0; bin < bins_.size(); ++bin) {
      passed += bins_[bin];
      if (passed >= share * seconds_) return std::min(static_cast<double>(bin) / scale_, max_);
    }
    return max_;
  };
  const double mean = sum_ / seconds_;
  return {.mean = mean,
          .std = std::sqrt(std::max(0.0, squares_ / seconds_ - mean * mean)),
          .p50 = quantile(0.5),
          .p99 = quantile(0.99),
          .max = max_};
}

Spread spread_of(std::vector<float>& samples) {
  if (samples.empty()) return {};
  double sum = 0;
  double max = static_cast<double>(samples.front());
  for (const float sample : samples) {
    sum += static_cast<double>(sample);
    max = std::max(max, static_cast<double>(sample));
  }
  const auto n = static_cast<double>(samples.size());
  double squares = 0;
  for (const float sample : samples) {
    const double distance = static_cast<double>(sample) - sum / n;
    squares += distance * distance;
  }
  const auto [p50, middle] = take_quantile(samples, 0, 0.5);
  const double p99 = take_quantile(samples, middle, 0.99).first;
  return {.mean = sum / n, .std = std::sqrt(squares / n), .p50 = p50, .p99 = p99, .max = max};
}

}  // namespace regroup
