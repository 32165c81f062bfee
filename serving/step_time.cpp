#include "step_time.h"

#include <algorithm>
#include <cmath>

namespace regroup {
namespace {

/// first + j * growth over j in [from, to).
double sum(double first, double growth, double from, double to) {
  const double n = to - from;
  return n * first + growth * n * (from + to - 1) / 2;
}

}  // namespace

double StepTime::of(int64_t steps) const {
  const auto n = static_cast<double>(steps);
  // Where the two lines cross one takes over from the other.
  const double slope = read_growth - compute_growth;
  const double crossing = slope == 0 ? 0 : std::ceil((compute - read) / slope);
  const double turn = std::clamp(crossing, 0.0, n);
  const bool reads_last = slope > 0 || (slope == 0 && read >= compute);
  const double first =
      reads_last ? sum(compute, compute_growth, 0, turn) : sum(read, read_growth, 0, turn);
  const double last =
      reads_last ? sum(read, read_growth, turn, n) : sum(compute, compute_growth, turn, n);
  return first + last + n * overhead;
}

int64_t StepTime::steps_to(double seconds, int64_t steps) const {
  int64_t low = 0;  // takes less
  int64_t high = steps;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (of(middle) < seconds ? low : high) = middle;
  }
  return high;
}

}  // namespace regroup
