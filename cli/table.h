#pragma once

#include <string>
#include <vector>

namespace regroup {

/// Rows as aligned columns; the first row is the heading. Columns of numbers are right-aligned.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace regroup
