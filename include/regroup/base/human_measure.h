#pragma once

#include <string>

namespace regroup {

/// 0.0125 -> "12.5 ms", 7.5 -> "7.5 s", 3725 -> "1 h 02 min".
std::string human_latency(double seconds);
/// A mean of bytes, as human_bytes() writes them.
std::string human_mean_bytes(double bytes);

/// 12.3456 -> "12.35", 12345.6 -> "12346".
std::string human_rate(double per_second);

}  // namespace regroup
