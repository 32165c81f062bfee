#pragma once

#include <vector>

namespace regroup {

/// A mean with its standard error. Tokens of one window depend on each other, so windows, not tokens,
/// are the independent draws (the cluster-robust variance of a ratio).
struct Estimate {
  double value = 0;
  double stderr_ = 0;
};
/// sum(numerator) / sum(denominator) over windows; of a single window the error is NaN.
Estimate ratio_estimate(const std::vector<double>& numerator,
                        const std::vector<double>& denominator);

}  // namespace regroup
