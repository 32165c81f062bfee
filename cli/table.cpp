#include "table.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "regroup/base/human_number.h"

namespace regroup {
namespace {

/// Code points, not bytes: "±" and "→" take one column.
size_t display_width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool looks_numeric(const std::string& cell) {
  return cell.empty() || cell == "-" || (cell[0] >= '0' && cell[0] <= '9') ||
         ((cell[0] == '-' || cell[0] == '+') && cell.size() > 1 && cell[1] >= '0' &&
          cell[1] <= '9');
}

bool belongs_to_last(const std::string& heading) { return heading.starts_with('+'); }

std::string name_of(const std::string& heading) {
  return belongs_to_last(heading) ? heading.substr(1) : heading;
}

struct Columns {
  std::vector<size_t> widths;
  std::vector<bool> numeric;
};

Columns measure_columns(const TableRows& rows) {
  Columns columns;
  columns.numeric.assign(rows[0].size(), true);
  for (const std::string& heading : rows[0]) {
    columns.widths.push_back(display_width(name_of(heading)));
  }
  for (size_t r = 1; r < rows.size(); ++r) {
    for (size_t c = 0; c < rows[r].size(); ++c) {
      columns.widths[c] = std::max(columns.widths[c], display_width(rows[r][c]));
      columns.numeric[c] = columns.numeric[c] && looks_numeric(rows[r][c]);
    }
  }
  return columns;
}

/// Of columns side by side.
size_t total_width(const Columns& columns, const std::vector<size_t>& chosen) {
  size_t total = chosen.empty() ? 0 : 2 * (chosen.size() - 1);
  for (const size_t c : chosen) total += columns.widths[c];
  return total;
}

std::string aligned(const TableRows& rows, const Columns& columns,
                    const std::vector<size_t>& chosen) {
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (const size_t c : chosen) {
      const std::string cell = r == 0 ? name_of(rows[r][c]) : rows[r][c];
      const std::string padding(columns.widths[c] - display_width(cell), ' ');
      line += c == chosen.front() ? "" : "  ";
      line += columns.numeric[c] ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
    if (r == 0) out += std::string(total_width(columns, chosen), '-') + "\n";
  }
  return out;
}

/// The columns of each table of a folded one; nothing where one would be wider than `width`.
std::vector<std::vector<size_t>> fold(const TableRows& rows, const Columns& columns, size_t keys,
                                      size_t width) {
  std::vector<size_t> first;
  for (size_t c = 0; c < keys; ++c) first.push_back(c);
  if (total_width(columns, first) > width) return {};
  std::vector<std::vector<size_t>> folded = {first};
  for (size_t c = keys; c < rows[0].size();) {
    std::vector<size_t> together = {c};
    for (++c; c < rows[0].size() && belongs_to_last(rows[0][c]); ++c) together.push_back(c);
    std::vector<size_t> wider = folded.back();
    wider.insert(wider.end(), together.begin(), together.end());
    const bool fits = total_width(columns, wider) <= width;
    if (!fits && folded.back().size() > keys) {
      folded.push_back(first);
      wider = first;
      wider.insert(wider.end(), together.begin(), together.end());
    }
    if (total_width(columns, wider) > width) return {};
    folded.back() = std::move(wider);
  }
  return folded;
}

/// A row as a list of its cells.
std::string listed(const TableRows& rows, size_t r) {
  size_t widest = 0;
  const auto label = [&](size_t c) {
    return (belongs_to_last(rows[0][c]) ? "  " : "") + name_of(rows[0][c]);
  };
  for (size_t c = 0; c < rows[0].size(); ++c) widest = std::max(widest, display_width(label(c)));
  std::string out;
  for (size_t c = 0; c < rows[r].size(); ++c) {
    out += label(c) + std::string(widest + 2 - display_width(label(c)), ' ') + rows[r][c] + "\n";
  }
  return out;
}

}  // namespace

std::string format_table(const TableRows& rows, size_t keys, std::optional<size_t> width) {
  if (rows.empty()) return {};
  const Columns columns = measure_columns(rows);
  std::vector<size_t> all(rows[0].size());
  std::iota(all.begin(), all.end(), size_t{0});
  if (!width || total_width(columns, all) <= *width) return aligned(rows, columns, all);
  std::string out;
  for (const auto& chosen : fold(rows, columns, std::min(keys, all.size()), *width)) {
    out += (out.empty() ? "" : "\n") + aligned(rows, columns, chosen);
  }
  if (!out.empty()) return out;
  for (size_t r = 1; r < rows.size(); ++r) out += (out.empty() ? "" : "\n") + listed(rows, r);
  return out;
}

std::string format_estimate(double value, std::optional<double> error, const char* format) {
  const auto digits = [&](double number) {
    return without_zero_sign(fmt::format(fmt::runtime(format), number));
  };
  return digits(value) + (error ? " ± " + digits(*error) : "");
}

}  // namespace regroup
