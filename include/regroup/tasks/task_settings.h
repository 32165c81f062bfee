#pragma once

#include "regroup/base/setting.h"
#include "regroup/tasks/task.h"

namespace regroup {

template <>
struct Words<BosMode> {
  static constexpr auto all =
      std::to_array<Word<BosMode>>({{"lm-eval", BosMode::kHarness}, {"single", BosMode::kOneBos}});
};

/// How tasks are found, asked and counted.
template <typename Visit>
void visit_settings(TaskOptions& options, Visit&& visit) {
  using Kind = Setting::Kind;
  visit({.name = "task-data",
         .help =
             "Folder that holds the questions of named tasks: NAME.jsonl, or NAME/test.jsonl; also "
             ".parquet",
         .kind = Kind::kFolderPath},
        options.folder);
  visit({.name = "limit",
         .help = "Ask the first N questions of each task; left out: all",
         .kind = Kind::kCount,
         .shows_default = false},
        options.limit);
  visit({.name = "num-fewshot",
         .help = "Examples before each question; left out: what the task says",
         .min = 0,
         .max = 1000,
         .shows_default = false},
        options.n_shot);
  visit({.name = "fewshot-seed", .help = "Seed that examples are drawn with", .min = 0},
        options.shot_seed);
  visit({.name = "apply-chat-template",
         .help = "Ask questions as a user of the first model's chat template does"},
        options.apply_chat_template);
  visit(
      {.name = "fewshot-as-singleturn",
       .help =
           "With a chat template: examples and question are one turn; left out: each example is a "
           "turn with its answer"},
      options.fewshot_as_singleturn);
  visit({.name = "bos-mode",
         .help = "What stands before a text that is scored whole: the tokens that "
                 "lm-evaluation-harness puts there, or a single BOS"},
        options.bos_mode);
  visit({.name = "bootstrap-iterations",
         .help = "Resamples for the standard error of a perplexity; 0: no such error",
         .min = 0,
         .max = 10'000'000},
        options.bootstrap_iterations);
  visit({.name = "margin",
         .help = "Share of the answers that a model may lose against the baseline and still not be "
                 "inferior",
         .min = 1e-6,
         .max = 1},
        options.margin);
}

}  // namespace regroup
