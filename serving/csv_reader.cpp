#include "csv_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/error.h"

namespace regroup {
namespace {

constexpr size_t kMaxRow = 1 << 20;

}  // namespace

void CsvReader::refuse(const std::string& found) const {
  throw CheckpointError({.code = "TRACE_VALUE",
                         .message = fmt::format("line {} must be a row of at most 1 MiB whose "
                                                "quotation marks come in pairs, found {}",
                                                line_, found),
                         .path = text_.path(),
                         .hint = "correct the line"});
}

/// Finds the line break that ends a row: one outside of quotation marks.
bool CsvReader::row_end(size_t& end) {
  bool quoted = false;
  for (size_t i = 0;; ++i) {
    if (i > kMaxRow) refuse(quoted ? "one that is not closed" : "a longer one");
    while (i >= text_.view().size()) {
      if (text_.more()) continue;
      if (quoted) refuse("one that is not closed");
      end = text_.view().size();
      return end > 0;
    }
    const char c = text_.view()[i];
    if (c == '"') quoted = !quoted;
    if (c == '\n') ++next_line_;
    if (c == '\n' && !quoted) {
      end = i + 1;
      return true;
    }
  }
}

void CsvReader::split(std::string_view row, std::vector<std::string>& fields) const {
  size_t field = 0;
  const auto begin = [&] {
    if (field == fields.size()) fields.emplace_back();
    fields[field].clear();
  };
  begin();
  bool quoted = false;
  for (size_t i = 0; i < row.size(); ++i) {
    const char c = row[i];
    if (c == '"') {
      const bool doubled = quoted && i + 1 < row.size() && row[i + 1] == '"';
      if (doubled) fields[field].push_back(row[++i]);
      if (!doubled) quoted = !quoted;
    } else if (c == ',' && !quoted) {
      ++field;
      begin();
    } else {
      fields[field].push_back(c);
    }
  }
  fields.resize(field + 1);
}

bool CsvReader::next(std::vector<std::string>& fields) {
  size_t end = 0;
  for (;;) {
    line_ = next_line_;
    if (!row_end(end)) return false;
    std::string_view row = text_.view().substr(0, end);
    while (!row.empty() && (row.back() == '\n' || row.back() == '\r')) row.remove_suffix(1);
    const bool blank = row.find_first_not_of(" \t") == std::string_view::npos;
    if (!blank) split(row, fields);
    text_.take(end);
    if (!blank) return true;
  }
}

}  // namespace regroup
