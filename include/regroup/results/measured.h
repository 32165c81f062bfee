#pragma once

#include <optional>

namespace regroup {

/// A number with its standard error, as a result file holds it; no error where it has none.
struct Measured {
  double value = 0;
  std::optional<double> error;
};

}  // namespace regroup
