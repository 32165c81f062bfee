#pragma once

#include <cstdint>
#include <string>

namespace regroup {

/// 1536 -> "1.5 KiB".
std::string human_bytes(int64_t bytes);
/// 1234567 -> "1.23 M".
std::string human_count(double count);
/// 3725 s -> "1 h 02 min".
std::string human_seconds(double seconds);
/// "-0.00" -> "0.00": what rounds to zero has no sign.
std::string without_zero_sign(std::string number);

}  // namespace regroup
