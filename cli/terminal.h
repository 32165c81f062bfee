#pragma once

#include <cstddef>
#include <optional>

namespace regroup {

/// Columns of the terminal that `descriptor` leads to; nothing where it is none.
std::optional<size_t> terminal_columns(int descriptor);

/// Columns that a table on stdout may take: COLUMNS where the environment sets it, else the terminal's. Nothing where stdout is
/// a file or a pipe: nobody wraps its lines there, and what reads them finds every table in one form.
std::optional<size_t> output_columns();

}  // namespace regroup
