// What a run will need, and what becomes of one that is too large or too small.
#include <gtest/gtest.h>

#include "estimate.h"
#include "optimizer.h"
#include "regroup/base/host_memory.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/family.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"
#include "support/expect_error.h"
#include "trainable.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

TEST(TrainableElements, AreThoseThatTheOptimizerHolds) {
  struct Make {
    const char* family;
    bool biases;
  };
  for (const auto& [family, biases] :
       {Make{"llama", false}, Make{"llama", true}, Make{"qwen2", true}, Make{"stablelm", true},
        Make{"qwen3", true}, Make{"olmo2", false}, Make{"phi3", false}, Make{"gemma", false}}) {
    for (const bool tied : {false, true}) {
      TemporaryFolder folder;
      write_tiny_model(folder / "model", {.model_type = family,
                                          .n_kv_heads = 2,
                                          .tie_word_embeddings = tied,
                                          .attention_bias = biases,
                                          .mlp_bias = biases});
      const ModelFolder model = ModelFolder::open(folder / "model");
      for (const TrainScope scope : {TrainScope::kAll, TrainScope::kAttention, TrainScope::kKv}) {
        Decoder decoder = load_decoder(model, at::kFloat, at::kCPU);
        const AdamW optimizer(choose_trainable(decoder, scope, 1.0), {});
        EXPECT_EQ(count_trainable(model.config(), scope), optimizer.n_elements())
            << family << ", " << name_of(scope) << (biases ? ", biases" : "")
            << (tied ? ", tied" : "");
      }
    }
  }
}

TEST(RunSize, AStepThatNoMachineHoldsIsRefusedAndLeavesNothing) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  options.batch_size = options.micro_batch_size = int64_t{1} << 24;
  options.seq_len = int64_t{1} << 30;  // more bytes than an int64 counts
  const ErrorInfo error = expect_error<ConfigError>("NO_MEMORY", [&] { uptrain(options, {}); });
  EXPECT_TRUE(contains(error.message, "this needs about 2 EiB of host memory"));
  EXPECT_TRUE(contains(error.hint, "`micro-batch-size`"));
  EXPECT_FALSE(path_exists(options.out));
}

// A teacher that never fits is known by its config alone.
TEST(RunSize, TheTeacherCountsBeforeItIsRead) {
  const ModelConfig small = parse_model_config(tiny_config({}), "config.json");
  ModelConfig large = small;
  large.n_layers = 100000;
  UptrainOptions options;
  options.seq_len = 16;
  options.batch_size = 1;
  const int64_t alone = estimate_run_bytes(small, options, std::nullopt);
  EXPECT_EQ(alone, estimate_training_bytes(small, options, count_parameters(small)));
  // What is trained, everything here, is never shared: 4 bytes a weight more, and the activations.
  EXPECT_EQ(estimate_run_bytes(small, options, small),
            alone + 4 * count_parameters(small) + estimate_teacher_bytes(small, options));
  EXPECT_EQ(estimate_run_bytes(small, options, large),
            4 * (count_parameters(small) + count_parameters(large)));
}

// Between the memory and a quarter more there is a warning; above it a refusal.
TEST(RunSize, AnEstimateThatIsCloseIsWarnedOf) {
  const std::optional<int64_t> there = host_memory();
  if (!there) GTEST_SKIP() << "the system does not say how much memory it has";
  EXPECT_EQ(require_memory(*there, at::kCPU, "use less"), std::nullopt);
  const auto warning = require_memory(*there + *there / 5, at::kCPU, "use less");
  ASSERT_TRUE(warning.has_value());
  EXPECT_TRUE(contains(*warning, "of host memory, found "));
  EXPECT_TRUE(contains(*warning, ": use less"));
  expect_error<ConfigError>("NO_MEMORY",
                            [&] { require_memory(*there + *there / 3, at::kCPU, "use less"); });
}

TEST(RunSize, AFinishedRunOutlivesARefusal) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  uptrain(options, {});
  const std::string before = read_tree(options.out);
  options.overwrite = true;
  options.batch_size = options.micro_batch_size = int64_t{1} << 24;
  options.seq_len = int64_t{1} << 30;
  expect_error<ConfigError>("NO_MEMORY", [&] { uptrain(options, {}); });
  EXPECT_TRUE(read_tree(options.out) == before);
}

TEST(RunSize, ABudgetFarFromWholeStepsIsSaid) {
  const Fixture f;
  const auto warnings_of = [&](int64_t tokens) {
    UptrainOptions options = f.into("run-" + std::to_string(tokens));
    options.budget = {.steps = {}, .tokens = tokens, .fraction = {}, .pretraining_tokens = {}};
    options.batch_size = 4;  // x 16 = 64 tokens a step
    options.warmup_steps = 1;
    options.schedule = ScheduleKind::kConstant;
    std::string warnings;
    TrainObserver observer;
    observer.warned = [&](const std::string& text) { warnings += text; };
    uptrain(options, observer);
    return warnings;
  };
  EXPECT_EQ(warnings_of(128), "");
  EXPECT_EQ(warnings_of(120), "");  // 128 is near enough
  EXPECT_EQ(warnings_of(10),
            "the budget of 10 tokens becomes 64 in 1 whole step of 4 x 16; a smaller `batch-size` "
            "is closer");
}

TEST(RunSize, AStepThatTrainsNothingIsSaid) {
  const Fixture f;
  const auto warnings_of = [&](ScheduleKind schedule, int64_t steps, double min_lr,
                               int64_t warmup) {
    UptrainOptions options = f.into("run");
    options.overwrite = true;
    options.budget = {.steps = steps, .tokens = {}, .fraction = {}, .pretraining_tokens = {}};
    options.schedule = schedule;
    options.min_learning_rate = min_lr;
    options.warmup_steps = warmup;
    std::string warnings;
    TrainObserver observer;
    observer.warned = [&](const std::string& text) { warnings += text; };
    uptrain(options, observer);
    return warnings;
  };
  for (const ScheduleKind ends :
       {ScheduleKind::kCosine, ScheduleKind::kLinear, ScheduleKind::kWsd}) {
    EXPECT_EQ(warnings_of(ends, 1, 0, 0),
              "the schedule is at its end, learning rate 0, in the only step: nothing is trained; "
              "use `schedule` constant, `min-lr` or more steps");
    EXPECT_EQ(warnings_of(ends, 2, 0, 0), "");
    EXPECT_EQ(warnings_of(ends, 1, 1e-4, 0), "");
    EXPECT_EQ(warnings_of(ends, 1, 0, 1), "");
  }
  EXPECT_EQ(warnings_of(ScheduleKind::kConstant, 1, 0, 0), "");
}

}  // namespace
}  // namespace regroup::testing
