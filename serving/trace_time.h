#pragma once

#include <optional>
#include <string_view>

namespace regroup {

/// Seconds of "2023-11-16 18:17:03.9799600", "2023-11-16T18:17:03Z" or "...+02:00" since 1970-01-01 UTC; nothing where the
/// text is no such time. Seven digits behind the second are kept exactly enough: doubles hold 2^-22 s there.
std::optional<double> parse_date_time(std::string_view text);

/// A finite number and nothing else.
std::optional<double> parse_number(std::string_view text);

}  // namespace regroup
