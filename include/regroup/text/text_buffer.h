#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "regroup/text/text_source.h"

namespace regroup {

/// What was read of a text and not yet taken. A byte order mark at its start is left out.
class TextBuffer {
 public:
  /// @throws CheckpointError  as TextSource does; TEXT_UTF8 for UTF-16 and UTF-32
  explicit TextBuffer(const std::string& path);
  std::string_view view() const { return std::string_view(bytes_).substr(begin_); }
  /// Reads a further block. @return false at the end of the text
  bool more();
  /// Leaves out the first `n` bytes of view().
  void take(size_t n);
  /// Where view() begins in the text.
  int64_t offset() const { return offset_; }
  /// Share of the file that was read, what waits in view() too.
  double share() const { return source_.share(); }
  const std::string& path() const { return path_; }

 private:
  void look_at_start();

  std::string path_;
  TextSource source_;
  std::string bytes_;
  size_t begin_ = 0;
  int64_t offset_ = 0;
};

}  // namespace regroup
