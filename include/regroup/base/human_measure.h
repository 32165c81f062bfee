#pragma once

#include <string>

namespace regroup {

/// 0.0125 -> "12.5 ms", 7.5 -> "7.5 s", 3725 -> "1 h 02 min".
std::string human_latency(double seconds);
/// A mean of bytes, as human_bytes() writes them.
std::string human_mean_bytes(double bytes);

}  // namespace regroup
