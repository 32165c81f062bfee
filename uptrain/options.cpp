#include "regroup/uptrain/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/text.h"

namespace regroup {

TrainScope parse_train_scope(const std::string& name) {
  if (name == "all") return TrainScope::kAll;
  if (name == "attention") return TrainScope::kAttention;
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("--train must be all or attention, found {}", printable(name))});
}

int64_t Budget::resolve(int64_t tokens_per_step) const {
  const int given = steps.has_value() + tokens.has_value() + fraction.has_value();
  if (given != 1) {
    throw ConfigError(
        {.code = "BUDGET",
         .message = fmt::format("exactly one of --steps, --tokens and --fraction must "
                                "be given, found {}",
                                given),
         .path = {},
         .tensor = {},
         .hint = "for example --fraction 0.05 --pretraining-tokens 12.288M"});
  }
  if (steps) return *steps;
  if (fraction && !pretraining_tokens) {
    throw ConfigError(
        {.code = "BUDGET",
         .message = "--fraction needs --pretraining-tokens, the tokens it is a share of",
         .path = {},
         .tensor = {},
         .hint = "say on how many tokens the parent was trained"});
  }
  const double wanted =
      tokens ? static_cast<double>(*tokens) : *fraction * static_cast<double>(*pretraining_tokens);
  return std::max<int64_t>(1, std::llround(wanted / static_cast<double>(tokens_per_step)));
}

}  // namespace regroup
