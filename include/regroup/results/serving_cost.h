#pragma once

#include <span>

namespace regroup {

/// Whether traffic costs more at one number of KV heads than at another, by more than 2 %: devices that idle cost the same
/// whatever they hold.
/// @param costs  of the same traffic, above 0; fewer than two do not differ
bool costs_differ(std::span<const double> costs);

}  // namespace regroup
