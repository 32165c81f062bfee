#include "flag_names.h"

#include <algorithm>

namespace regroup {
namespace {

bool is_name(std::string_view text) {
  return !text.empty() && text[0] >= 'a' && text[0] <= 'z' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

}  // namespace

std::string with_flags(std::string_view text) {
  std::string result;
  for (size_t open = text.find('`'); open != text.npos; open = text.find('`')) {
    const size_t close = text.find('`', open + 1);
    if (close == text.npos) break;
    const std::string_view name = text.substr(open + 1, close - open - 1);
    const bool setting = is_name(name);
    // Where this is no name, the second quote may open one.
    result += setting ? std::string(text.substr(0, open)) + "--" + std::string(name)
                      : std::string(text.substr(0, close));
    text.remove_prefix(setting ? close + 1 : close);
  }
  return result += text;
}

}  // namespace regroup
