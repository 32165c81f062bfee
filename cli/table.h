#pragma once

#include <optional>
#include <string>
#include <vector>

namespace regroup {

/// Rows as aligned columns; the first row is the heading. Columns of numbers are right-aligned.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

/// "1.4900 ± 0.0124", or the value alone. What rounds to zero has no sign.
/// @param format  of both numbers, such as "{:.4f}"
std::string format_estimate(double value, std::optional<double> error, const char* format);

}  // namespace regroup
