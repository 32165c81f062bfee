#include "table.h"

#include <fmt/format.h>

#include <algorithm>

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

}  // namespace

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  if (rows.empty()) return {};
  std::vector<size_t> widths(rows[0].size(), 0);
  std::vector<bool> numeric(rows[0].size(), true);
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < rows[r].size(); ++c) {
      widths[c] = std::max(widths[c], display_width(rows[r][c]));
      if (r > 0) numeric[c] = numeric[c] && looks_numeric(rows[r][c]);
    }
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const std::string padding(widths[c] - display_width(rows[r][c]), ' ');
      line += c == 0 ? "" : "  ";
      line += numeric[c] ? padding + rows[r][c] : rows[r][c] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
    if (r > 0) continue;
    size_t total = 2 * (widths.size() - 1);
    for (const size_t width : widths) total += width;
    out += std::string(total, '-') + "\n";
  }
  return out;
}

std::string format_estimate(double value, std::optional<double> error, const char* format) {
  const auto digits = [&](double number) {
    return without_zero_sign(fmt::format(fmt::runtime(format), number));
  };
  return digits(value) + (error ? " ± " + digits(*error) : "");
}

}  // namespace regroup
