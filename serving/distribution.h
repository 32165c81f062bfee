#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "regroup/serving/replay.h"

namespace regroup {

/// A quantity over time that lies in [0, max]: mean and deviation are exact, quantiles are those of `bins` even steps from 0 to
/// max.
class TimeSpread {
 public:
  TimeSpread(double max, size_t bins);
  /// The quantity goes evenly from `from` to `to` within `seconds`.
  void add(double seconds, double from, double to);
  Spread spread() const;

 private:
  double scale_;
  double seconds_ = 0;
  double sum_ = 0;
  double squares_ = 0;
  double max_ = 0;
  std::vector<double> bins_;
};

/// Mean, population deviation and quantiles of samples, interpolated between neighbours as numpy does. Changes their order.
Spread spread_of(std::vector<float>& samples);

}  // namespace regroup
