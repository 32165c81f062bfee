// What a run will need, and what becomes of one that is too large or too small.
#include <gtest/gtest.h>

#include "estimate.h"
#include "regroup/model/load.h"
#include "regroup/uptrain/optimizer.h"
#include "regroup/uptrain/trainable.h"
#include "support/expect_error.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

TEST(TrainableElements, AreThoseThatTheOptimizerHolds) {
  for (const bool attention_bias : {false, true}) {
    for (const bool tied : {false, true}) {
      TemporaryFolder folder;
      write_tiny_model(folder / "model", {.n_kv_heads = 2,
                                          .tie_word_embeddings = tied,
                                          .attention_bias = attention_bias,
                                          .mlp_bias = attention_bias});
      const ModelFolder model = ModelFolder::open(folder / "model");
      for (const TrainScope scope : {TrainScope::kAll, TrainScope::kAttention, TrainScope::kKv}) {
        Decoder decoder = load_decoder(model, at::kFloat, at::kCPU);
        const AdamW optimizer(choose_trainable(decoder, scope, 1.0), {});
        EXPECT_EQ(count_trainable(model.config(), scope), optimizer.n_elements())
            << train_scope_name(scope) << (attention_bias ? ", biases" : "")
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
  EXPECT_TRUE(contains(error.message, "this run needs about 2 EiB of host memory"));
  EXPECT_TRUE(contains(error.hint, "--micro-batch-size"));
  EXPECT_FALSE(path_exists(options.out));
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
    std::string warnings;
    TrainObserver observer;
    observer.warned = [&](const std::string& text) { warnings += text; };
    uptrain(options, observer);
    return warnings;
  };
  EXPECT_EQ(warnings_of(128), "");
  EXPECT_EQ(warnings_of(120), "");  // 128 is near enough
  EXPECT_EQ(warnings_of(10),
            "the budget of 10 tokens becomes 64 in 1 whole step of 4 x 16; a smaller --batch-size "
            "comes closer");
}

}  // namespace
}  // namespace regroup::testing
