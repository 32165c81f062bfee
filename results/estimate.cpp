#include "regroup/results/estimate.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace regroup {

Estimate ratio_estimate(const std::vector<double>& numerator,
                        const std::vector<double>& denominator) {
  const auto n = static_cast<double>(numerator.size());
  const double total = std::accumulate(denominator.begin(), denominator.end(), 0.0);
  const double ratio = std::accumulate(numerator.begin(), numerator.end(), 0.0) / total;
  double squares = 0;
  for (size_t i = 0; i < numerator.size(); ++i) {
    const double residual = numerator[i] - ratio * denominator[i];
    squares += residual * residual;
  }
  if (numerator.size() < 2) return {ratio, std::numeric_limits<double>::quiet_NaN()};
  return {ratio, std::sqrt(squares * n / (n - 1)) / total};
}

}  // namespace regroup
