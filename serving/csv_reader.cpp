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
  for (size_t from = 0;;) {
    const std::string_view text = text_.view();
    const size_t stop = std::min(text.find('\n', from), text.size());
    const auto marks = std::count(text.begin() + static_cast<std::ptrdiff_t>(from),
                                  text.begin() + static_cast<std::ptrdiff_t>(stop), '"');
    const bool open = quoted != (marks % 2 != 0);
    if (stop > kMaxRow) refuse(open ? "one that is not closed" : "a longer one");
    if (stop == text.size()) {
      if (text_.more()) continue;
      if (open) refuse("one that is not closed");
      end = stop;
      return end > 0;
    }
    ++next_line_;
    end = stop + 1;
    if (!open) return true;
    quoted = open;
    from = end;
  }
}

namespace {

/// A place for the next field, whose memory of earlier rows is used again.
std::string& next_field(std::vector<std::string>& fields, size_t& count) {
  if (count == fields.size()) fields.emplace_back();
  fields[count].clear();
  return fields[count++];
}

}  // namespace

void CsvReader::split(std::string_view row, std::vector<std::string>& fields) const {
  size_t count = 0;
  if (row.find('"') == std::string_view::npos) {  // nearly every row of a trace
    for (size_t from = 0; from <= row.size();) {
      const size_t comma = std::min(row.find(',', from), row.size());
      next_field(fields, count).assign(row.substr(from, comma - from));
      from = comma + 1;
    }
    fields.resize(count);
    return;
  }
  std::string* field = &next_field(fields, count);
  bool quoted = false;
  for (size_t i = 0; i < row.size(); ++i) {
    const char c = row[i];
    if (c == '"') {
      const bool doubled = quoted && i + 1 < row.size() && row[i + 1] == '"';
      if (doubled) field->push_back(row[++i]);
      if (!doubled) quoted = !quoted;
    } else if (c == ',' && !quoted) {
      field = &next_field(fields, count);
    } else {
      field->push_back(c);
    }
  }
  fields.resize(count);
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
