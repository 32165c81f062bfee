#include "regroup/base/harness_name.h"

#include <string_view>

namespace regroup {

std::string harness_file_name(const std::string& name) {
  constexpr std::string_view kReplaced = "\"<>:/|\\?*[]";
  std::string out;
  bool in_run = false;
  for (const char c : name) {
    const bool bad = kReplaced.find(c) != std::string_view::npos || c == '\0';
    if (!bad) out += c;
    if (bad && !in_run) out += "__";
    in_run = bad;
  }
  return out == "." || out == ".." || out.empty() ? "__" + out : out;
}

}  // namespace regroup
