#include "text_segments.h"

namespace regroup {
namespace {

constexpr size_t kSegmentBytes = size_t{1} << 20;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// The first space to cut at from `from` on; the end of the text where there is none.
size_t find_cut(std::string_view text, size_t from) {
  for (size_t at = from; at + 1 < text.size(); ++at) {
    const bool visible = text[at - 1] > ' ' && text[at - 1] < 0x7F;
    if (text[at] == ' ' && visible && is_letter(text[at + 1])) return at;
  }
  return text.size();
}

}  // namespace

void visit_segments(std::string_view text,
                    const std::function<bool(std::string_view segment, size_t begin)>& visit) {
  size_t begin = 0;
  do {
    const bool long_rest = text.size() - begin > kSegmentBytes;
    const size_t end = long_rest ? find_cut(text, begin + kSegmentBytes) : text.size();
    if (!visit(text.substr(begin, end - begin), begin)) return;
    begin = end;
  } while (begin < text.size());
}

}  // namespace regroup
