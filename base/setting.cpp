#include "regroup/base/setting.h"

#include <fmt/format.h>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup::detail {

void refuse_word(std::span<const char* const> names, const std::string& text,
                 const std::string& flag) {
  std::string rule = names.front();
  for (size_t i = 1; i < names.size(); ++i) {
    rule += fmt::format("{}{}", i + 1 == names.size() ? " or " : ", ", names[i]);
  }
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("{} must be {}, found {}", flag, rule, printable(text))});
}

}  // namespace regroup::detail
