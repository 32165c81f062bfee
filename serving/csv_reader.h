#pragma once

#include <string>
#include <vector>

#include "regroup/text/text_buffer.h"

namespace regroup {

/// Rows of a file of comma-separated values (RFC 4180): fields in quotation marks may hold commas, line breaks and, doubled,
/// quotation marks.
class CsvReader {
 public:
  explicit CsvReader(const std::string& path) : text_(path) {}
  /// @param fields  of the next row that is not empty @return false at the end
  /// @throws CheckpointError TRACE_VALUE for a quotation mark that nothing closes, or a row of more than 1 MiB
  bool next(std::vector<std::string>& fields);
  /// Where the last row began, from 1.
  int64_t line() const { return line_; }
  /// Bytes of the text, unpacked, up to where the next row begins.
  int64_t offset() const { return text_.offset(); }

 private:
  bool row_end(size_t& end);
  void split(std::string_view row, std::vector<std::string>& fields) const;
  [[noreturn]] void refuse(const std::string& found) const;

  TextBuffer text_;
  int64_t line_ = 0;
  int64_t next_line_ = 1;
};

}  // namespace regroup
