#pragma once

#include <cstdint>

namespace regroup {

/// Steps that take the longer of two times which grow evenly: step j takes max(read + j * read_growth,
/// compute + j * compute_growth) + overhead.
struct StepTime {
  double read = 0;
  double read_growth = 0;
  double compute = 0;
  double compute_growth = 0;
  double overhead = 0;

  /// Seconds of the first `steps` steps, in closed form.
  double of(int64_t steps) const;
  /// The fewest steps, of at most `steps`, that take `seconds` or more; `steps` when all take less.
  int64_t steps_to(double seconds, int64_t steps) const;
};

}  // namespace regroup
