#include "regroup/uptrain/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/printable.h"
#include "regroup/text/documents.h"

namespace regroup {
namespace {

void check_file(const std::string& path, TokenFormat format) {
  if (is_text_file(path)) {
    InputFile{path};
  } else {
    TokenFile(path, format);
  }
}

}  // namespace

void check_options(const UptrainOptions& o) {
  check_teacher_options(o);
  if (o.data.empty()) {
    throw ConfigError({.code = "FLAG_MISSING", .message = "`data` must name at least one file"});
  }
  if (o.learning_rate && o.min_learning_rate > *o.learning_rate) {
    throw ConfigError({.code = "FLAG_VALUE",
                       .message = fmt::format("`min-lr` must not exceed `lr`, found {} and {}",
                                              o.min_learning_rate, *o.learning_rate)});
  }
  if (o.valid.empty() && o.valid_tokens > 0) {
    throw ConfigError({.code = "FLAG_MISSING",
                       .message = "`valid-tokens` limits the text of `valid`, found no `valid`"});
  }
  check_batch(o, o.processes);
  o.budget.resolve(o.batch_size * std::max<int64_t>(1, o.seq_len));
  for (const std::string& path : o.data) check_file(path, o.token_format);
  if (!o.valid.empty()) check_file(o.valid, o.token_format);
}

void check_batch(const UptrainOptions& o, int64_t processes) {
  if (o.batch_size >= processes) return;
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("`batch-size` must give each of the {} processes a sequence at "
                              "every step, found {}",
                              processes, o.batch_size),
       .hint = fmt::format("give `batch-size` {}, better a multiple of it, or start at most {} "
                           "processes",
                           processes, o.batch_size)});
}

void check_teacher_options(const UptrainOptions& o) {
  const auto needs_teacher = [&](bool given, const char* flag) {
    if (!given || !o.teacher.empty()) return;
    throw ConfigError({.code = "FLAG_MISSING",
                       .message = fmt::format("{} needs `teacher`, the model to learn from", flag),
                       .hint = "give `teacher` PARENT, or leave the flag out"});
  };
  const auto in_range = [](bool good, const char* message, double found) {
    if (good) return;
    throw ConfigError(
        {.code = "FLAG_VALUE", .message = fmt::format("{}, found {}", message, found)});
  };
  needs_teacher(o.kl_weight.has_value(), "`kl-weight`");
  needs_teacher(o.temperature.has_value(), "`temperature`");
  needs_teacher(!o.teacher_cache.empty(), "`teacher-cache`");
  needs_teacher(o.teacher_top_k.has_value(), "`teacher-top-k`");
  if (o.teacher_top_k && o.teacher_cache.empty()) {
    throw ConfigError({.code = "FLAG_MISSING",
                       .message = "`teacher-top-k` needs `teacher-cache`, the folder to fill"});
  }
  const DistillationMix mix = mix_of(o);
  in_range(mix.kl_weight >= 0 && mix.kl_weight <= 1, "`kl-weight` must be in [0, 1]",
           mix.kl_weight);
  in_range(mix.temperature >= 0.01 && mix.temperature <= 100,
           "`temperature` must be in [0.01, 100]", mix.temperature);
}

DistillationMix mix_of(const UptrainOptions& o) {
  // KL alone at T = 1 is what worked best elsewhere (arXiv:2407.14679).
  return {.kl_weight = o.kl_weight.value_or(1.0), .temperature = o.temperature.value_or(1.0)};
}

int64_t top_k_of(const UptrainOptions& o) { return o.teacher_top_k.value_or(64); }

int64_t Budget::resolve(int64_t tokens_per_step) const {
  const int given = steps.has_value() + tokens.has_value() + fraction.has_value();
  if (given != 1) {
    throw ConfigError(
        {.code = "BUDGET",
         .message = fmt::format("exactly one of `steps`, `tokens` and `fraction` must "
                                "be given, found {}",
                                given),
         .hint = "for example `fraction` 0.05 `pretraining-tokens` 12.288M"});
  }
  if (steps) return *steps;
  if (fraction && !pretraining_tokens) {
    throw ConfigError(
        {.code = "BUDGET",
         .message = "`fraction` needs `pretraining-tokens`, the tokens it is a share of",
         .hint = "say on how many tokens the parent was trained"});
  }
  return std::max<int64_t>(1, std::llround(*asked_tokens() / static_cast<double>(tokens_per_step)));
}

std::optional<double> Budget::asked_tokens() const {
  if (tokens) return static_cast<double>(*tokens);
  if (fraction && pretraining_tokens) return *fraction * static_cast<double>(*pretraining_tokens);
  return std::nullopt;
}

}  // namespace regroup
