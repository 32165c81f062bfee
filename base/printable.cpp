#include "regroup/base/printable.h"

#include <fmt/format.h>

#include <cstdint>

#include "regroup/base/hidden_characters.h"
#include "regroup/base/utf8.h"

namespace regroup {

std::string printable(std::string_view text, size_t max) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (out.size() >= max) return out + fmt::format("... ({} bytes)", text.size());
    const CodePoint c = decode_front(text.substr(i));
    if (c.length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[i++]));
      continue;
    }
    if (is_hidden(c.value)) {
      out += fmt::format("\\u{{{:x}}}", c.value);
    } else {
      out += text.substr(i, c.length);
    }
    i += c.length;
  }
  return out;
}

}  // namespace regroup
