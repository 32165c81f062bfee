#pragma once

#include <optional>
#include <string>
#include <vector>

#include "terminal.h"

namespace regroup {

using TableRows = std::vector<std::vector<std::string>>;

/// Rows as aligned columns; the first row is the heading. Columns of numbers are right-aligned. A heading that begins with "+"
/// belongs to the column before it ("queue p50", "+p99"), and is shown without that sign.
///
/// A table that is wider than `width` is folded: its columns come in several tables one below the other, each with the first
/// `keys` columns again. Where not even one further column has room beside these, every row becomes a list of its cells.
std::string format_table(const TableRows& rows, size_t keys = 1,
                         std::optional<size_t> width = output_columns());

/// "1.4900 ± 0.0124", or the value alone. What rounds to zero has no sign.
/// @param format  of both numbers, such as "{:.4f}"
std::string format_estimate(double value, std::optional<double> error, const char* format);

}  // namespace regroup
