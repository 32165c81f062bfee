// What each of several processes needs, and the first of them at a checkpoint.
#include <gtest/gtest.h>

#include "estimate.h"
#include "regroup/checkpoint/family.h"
#include "support/devices.h"
#include "support/ranks.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

UptrainOptions with_batch(int64_t batch, int64_t micro) {
  UptrainOptions options;
  options.seq_len = 16;
  options.batch_size = batch;
  options.micro_batch_size = micro;
  return options;
}

TEST(ProcessMemory, NobodyComputesMoreThanItsShareAtOnce) {
  const auto at_once = [](int64_t batch, int64_t micro, int processes) {
    return options_of_each(with_batch(batch, micro), processes).micro_batch_size;
  };
  EXPECT_EQ(at_once(8, 0, 1), 8);
  EXPECT_EQ(at_once(8, 0, 4), 2);
  EXPECT_EQ(at_once(7, 0, 3), 3) << "7 sequences are 2, 2 and 3";
  EXPECT_EQ(at_once(8, 8, 4), 2);
  EXPECT_EQ(at_once(8, 1, 4), 1);
}

// All weights are trained: 4 + 12 bytes each in fp32 with their gradient and moments, 2 + 18 in bf16.
TEST(ProcessMemory, TheFirstGathersWhatIsSpread) {
  const ModelConfig config = parse_model_config(tiny_config({}), "config.json");
  const int64_t n = count_parameters(config);
  for (const auto& [precision, width, spread] :
       {std::tuple(Precision::kFp32, 16, 8), {Precision::kBf16, 20, 12}}) {
    UptrainOptions options = with_batch(1, 1);
    options.seq_len = 1;
    options.precision = precision;
    const int64_t activations = estimate_training_bytes(config, options, n) - width * n;
    EXPECT_GT(activations, 0);
    EXPECT_EQ(gathering_bytes(config, options, 1), 0);
    EXPECT_EQ(gathering_bytes(config, options, 2), spread * n + 4 * n / 2 - activations);
    options.seq_len = 1 << 20;
    EXPECT_EQ(gathering_bytes(config, options, 2), 0) << "the activations were more";
  }
}

TEST(ProcessMemory, IsWhatARunSays) {
  const Fixture f;
  const auto train = [&](Processes& all) {
    UptrainOptions options = f.into("run");
    options.batch_size = 8;
    options.micro_batch_size = 0;
    options.budget.steps = 1;
    TrainObserver observer;
    bool told = false;
    observer.started = [&](const RunFacts& facts) {
      told = true;
      const ModelConfig config = parse_model_config(read_file(options.model + "/config.json"), "c");
      UptrainOptions each = options;
      each.micro_batch_size = 4;
      EXPECT_EQ(facts.memory_bytes,
                estimate_training_bytes(config, each, count_parameters(config)) -
                    spread_bytes(config, each, 2));
      EXPECT_EQ(facts.gathering_bytes, gathering_bytes(config, each, 2));
    };
    uptrain(options, observer, all);
    EXPECT_EQ(told, all.is_first());
  };
  EXPECT_EQ(run_ranks(2, train), (std::vector<int>{0, 0}));
}

}  // namespace
}  // namespace regroup::testing
