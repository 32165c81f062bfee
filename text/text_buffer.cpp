#include "regroup/text/text_buffer.h"

#include <fmt/format.h>

#include "regroup/base/error.h"
#include "regroup/base/stop_signal.h"

namespace regroup {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20;

/// "UTF-16" or "UTF-32" where the first bytes are theirs: a byte order mark, or letters with zeros between.
std::string_view wide_encoding(std::string_view start) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(start[i]); };
  if (start.size() < 4) return {};
  const bool marked_little = at(0) == 0xFF && at(1) == 0xFE;
  if ((marked_little && at(2) == 0 && at(3) == 0) || start.starts_with({"\0\0\xFE\xFF", 4})) {
    return "UTF-32";
  }
  const bool marked = marked_little || (at(0) == 0xFE && at(1) == 0xFF);
  const bool little = at(0) != 0 && at(1) == 0 && at(2) != 0 && at(3) == 0;
  const bool big = at(0) == 0 && at(1) != 0 && at(2) == 0 && at(3) != 0;
  return marked || little || big ? "UTF-16" : std::string_view();
}

}  // namespace

TextBuffer::TextBuffer(const std::string& path) : path_(path), source_(path) { look_at_start(); }

void TextBuffer::look_at_start() {
  more();
  const std::string_view encoding = wide_encoding(view());
  if (!encoding.empty()) {
    throw CheckpointError({.code = "TEXT_UTF8",
                           .message = fmt::format("must be UTF-8 text, found {}", encoding),
                           .path = path_,
                           .hint = fmt::format("convert it: iconv -f {} -t UTF-8", encoding)});
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (view().starts_with(kByteOrderMark)) take(kByteOrderMark.size());
}

bool TextBuffer::more() {
  throw_if_stopped(/*resumable=*/false);
  bytes_.erase(0, begin_);
  begin_ = 0;
  const size_t before = bytes_.size();
  bytes_.resize(before + kBlockBytes);
  const size_t got = source_.read(std::as_writable_bytes(std::span(bytes_).subspan(before)));
  bytes_.resize(before + got);
  return got > 0;
}

void TextBuffer::take(size_t n) {
  begin_ += n;
  offset_ += static_cast<int64_t>(n);
}

}  // namespace regroup
