// What follows the last layer: what held-out windows say, and all layers trained together.
#include "end_to_end.h"

#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "calibrated_layer.h"
#include "calibration_cost.h"
#include "calibration_text.h"
#include "convert/calibration_fixture.h"
#include "measure_quality.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/family.h"
#include "regroup/convert/calibration_sizes.h"

namespace regroup::testing {
namespace {

using at::Tensor;

// Two windows of three tokens over a vocabulary of two, whose logits are the hidden states (norm of weight 1 on
// (a, b) with a^2 + b^2 = 2 changes nothing).
TEST(HeldOutQualityTest, IsWhatItIsByHand) {
  OutputHead head;
  head.final_norm.weight = at::tensor({1.0f, 1.0f});
  head.lm_head = at::tensor({1.0f, 0.0f, 0.0f, 1.0f}).view({2, 2});
  const Tensor ids = at::tensor({0, 0, 1, 1, 0, 0}, at::kLong).view({2, 3});
  const Tensor parent = at::tensor({1.0f, -1.0f}).expand({2, 3, 2});
  Tensor converted = parent.clone();
  converted[1] = at::tensor({-1.0f, 1.0f}).expand({3, 2});
  const auto source = [](const Tensor& all) {
    return [all](int64_t first, int64_t count) { return all.narrow(0, first, count); };
  };
  const HeldOutQuality q = measure_quality(head, ids, source(parent), source(converted));
  const double likely = std::log1p(std::exp(-2));  // of token 0 under the parent
  const double unlikely = 2 + likely;
  EXPECT_NEAR(q.parent_loss, (3 * likely + unlikely) / 4, 1e-6);  // 0, 1 and 0, 0 are predicted
  // The first window is the parent's; in the second every token's probabilities change places: two tokens
  // lose 2 nats, and KL = (p - q) log(p / q) = 2 tanh(1).
  EXPECT_NEAR(q.loss, q.parent_loss + 1, 1e-6);
  EXPECT_NEAR(q.kl, std::tanh(1.0), 1e-6);
  EXPECT_NEAR(q.same_top1, 0.5, 1e-12);
  ASSERT_EQ(q.rises.size(), 2u);
  EXPECT_NEAR(q.rises[0], 0, 1e-6);
  EXPECT_NEAR(q.rises[1], 2, 1e-6);
}

TEST(HeldOutQualityTest, CollapsedWindowsAreThoseThatLoseTwoNatsOrAreNoNumber) {
  const HeldOutQuality q{.rises = {0.1, 2.0, 2.1, std::nan(""), -1}};
  EXPECT_EQ(q.collapsed(), 2);
  const HeldOutQuality better{.rises = {-3.0, -1.5}};
  EXPECT_EQ(better.worst_rise(), -1.5);
  EXPECT_EQ(HeldOutQuality{}.worst_rise(), 0);
  EXPECT_TRUE(std::isnan(q.worst_rise()));
}

// Logits are the hidden states, as above: of two of three tokens the converted model turns the probabilities round.
TEST(HeldOutQualityTest, FirstTokensAreWhatTheyAreByHand) {
  OutputHead head;
  head.final_norm.weight = at::tensor({1.0f, 1.0f});
  head.lm_head = at::tensor({1.0f, 0.0f, 0.0f, 1.0f}).view({2, 2});
  const Tensor parent = at::tensor({1.0f, -1.0f, 3.0f, -3.0f, 1.0f, -1.0f}).view({3, 1, 2});
  Tensor converted = parent.clone();
  converted.narrow(0, 0, 2).neg_();
  const auto source = [](const Tensor& all) {
    return [all](int64_t first, int64_t count) { return all.narrow(0, first, count); };
  };
  const FirstTokenQuality q = measure_first_tokens(head, 3, source(parent), source(converted));
  EXPECT_EQ(q.tokens, 3);
  // (p - q) log(p / q) with logits +-a turned round: 4 a tanh(a) / 2.
  EXPECT_NEAR(q.worst_kl, 6 * std::tanh(3.0), 1e-5);
  EXPECT_NEAR(q.kl, (2 * std::tanh(1.0) + 6 * std::tanh(3.0)) / 3, 1e-5);
  EXPECT_EQ(q.above_2_nats, 1);
  const FirstTokenQuality lost = first_token_quality({0.1, std::nan(""), 0.2});
  EXPECT_EQ(lost.above_2_nats, 1);
  EXPECT_TRUE(std::isnan(lost.worst_kl) && std::isnan(lost.kl));
}

class EndToEndTest : public CalibrationTest {
 protected:
  ConvertOptions distilled(const std::string& out, int64_t steps = 12) const {
    ConvertOptions by = options(out);
    by.calibration.layer_steps = 4;
    by.calibration.distill_steps = steps;
    by.calibration.distill_lr = 0.02;
    return by;
  }
  /// Killed after the last word of the calibration.
  static CalibrationProgress killed_at_its_end() {
    return {.starts = {}, .moved = [](const CalibrationStatus& s) {
              if (std::string(s.stage) == "done") throw std::runtime_error("killed");
            }};
  }
  /// By the two folders alone: KL(parent || converted) over the held-out windows of text.
  double kl_of(const std::string& out) const {
    const Tensor ids = random_ids(1, 4096, kVocab, 11).view({128, 32}).narrow(0, 112, 16);
    const auto log_probs = [&](const std::string& folder) {
      const Tensor logits = all_logits(load_folder(at(folder)), ids);
      return at::log_softmax(logits.to(at::kDouble), -1).narrow(1, 0, 31);
    };
    const Tensor p = log_probs("in");
    return p.exp().mul(p.sub(log_probs(out))).sum(-1).mean().item<double>();
  }
  /// Of the last six of the 64 tokens that layers are fitted on alone, each.
  Tensor kl_of_first_tokens(const std::string& out) const {
    const Tensor ids = at::tensor(first_tokens(kVocab, kVocab, 0), at::kLong).narrow(0, 58, 6);
    const auto log_probs = [&](const std::string& folder) {
      const Tensor logits = all_logits(load_folder(at(folder)), ids.unsqueeze(1));
      return at::log_softmax(logits.to(at::kDouble), -1).squeeze(1);
    };
    const Tensor p = log_probs("in");
    return p.exp().mul(p.sub(log_probs(out))).sum(-1);
  }
};

TEST_F(EndToEndTest, LessIsLostAndWhatIsSaidOfItIsTrue) {
  prepare(kDifferentHeads);
  const ConversionPlan layers = run(distilled("layers", 0));
  ASSERT_TRUE(layers.quality);
  EXPECT_FALSE(layers.before_distillation);
  EXPECT_NEAR(layers.quality->kl, kl_of("layers"), 1e-5);
  ASSERT_TRUE(layers.quality->first_tokens);
  EXPECT_EQ(layers.quality->first_tokens->tokens, 6);
  const Tensor first = kl_of_first_tokens("layers");
  EXPECT_NEAR(layers.quality->first_tokens->kl, first.mean().item<double>(), 1e-5);
  EXPECT_NEAR(layers.quality->first_tokens->worst_kl, first.max().item<double>(), 1e-5);
  const ConversionPlan all = run(distilled("all"));
  ASSERT_TRUE(all.quality && all.before_distillation);
  EXPECT_EQ(all.before_distillation->kl, layers.quality->kl);
  EXPECT_NEAR(all.quality->kl, kl_of("all"), 1e-5);
  EXPECT_NEAR(all.quality->first_tokens->kl, kl_of_first_tokens("all").mean().item<double>(), 1e-5);
  EXPECT_LT(all.quality->kl, 0.9 * layers.quality->kl);
  EXPECT_EQ(all.quality->rises.size(), 16u);

  const Json record = read_strict_json(at("all/regroup.json"), kManifestJson);
  const Json& held_out = record.at("method").at("calibration").at("held_out");
  EXPECT_EQ(held_out.at("kl").get<double>(), all.quality->kl);
  EXPECT_EQ(held_out.at("windows").get<int64_t>(), 16);
  EXPECT_EQ(held_out.at("first_tokens").at("tokens").get<int64_t>(), 6);
  EXPECT_EQ(record.at("arguments").at("calibration").at("distill_steps").get<int64_t>(), 12);
}

TEST_F(EndToEndTest, LeftToTheDefaultASmallModelIsTrainedTogether) {
  prepare(kDifferentHeads);
  ConvertOptions by = distilled("out");
  by.calibration.distill_steps.reset();
  by.calibration.distill_lr.reset();
  const ConversionPlan plan = run(by);
  ASSERT_TRUE(plan.before_distillation);
  EXPECT_LT(plan.quality->kl, plan.before_distillation->kl);
  const Json record = read_strict_json(at("out/regroup.json"), kManifestJson);
  const Json& chosen = record.at("arguments").at("calibration");
  EXPECT_EQ(chosen.at("distill_steps").get<int64_t>(), 64);
  EXPECT_EQ(chosen.at("layer_lr").get<double>(), default_layer_lr(plan.before));
  EXPECT_EQ(chosen.at("distill_lr").get<double>(), default_distill_lr(plan.before));
}

TEST_F(EndToEndTest, StepsThatLoseAreNotKept) {
  prepare(kDifferentHeads);
  run(distilled("layers", 0));
  ConvertOptions wild = distilled("wild");
  wild.calibration.distill_lr = 1;
  const ConversionPlan plan = run(wild);
  EXPECT_FALSE(plan.before_distillation);
  EXPECT_EQ(sha256_of_file(at("wild/model.safetensors")),
            sha256_of_file(at("layers/model.safetensors")));
}

// Weights that become no numbers, or too large for the output's dtype, end no conversion.
TEST_F(EndToEndTest, StepsThatLeaveTheNumbersAreNotKept) {
  TinyModelSpec spec = kDifferentHeads;
  spec.dtype = Dtype::kF16;
  prepare(spec);
  run(distilled("layers", 0));
  ConvertOptions wild = distilled("wild");
  wild.calibration.distill_lr = 1e30;
  const ConversionPlan plan = run(wild);
  EXPECT_FALSE(plan.before_distillation);
  EXPECT_TRUE(std::isfinite(plan.quality->kl));
  EXPECT_EQ(sha256_of_file(at("wild/model.safetensors")),
            sha256_of_file(at("layers/model.safetensors")));
}

TEST_F(EndToEndTest, ADamagedLayerIsDoneAgain) {
  prepare(kDifferentHeads);
  run(distilled("whole"));
  EXPECT_THROW(run(distilled("killed"), killed_at_its_end()), std::runtime_error);
  const std::string layer = calibrated_layer_path(at("killed.partial/calibration/end-to-end"), 1);
  std::string bytes = read_file(layer);
  bytes.back() ^= 1;
  write_file(layer, bytes);
  run(distilled("killed"));
  expect_same_files("whole", "killed");
}

TEST_F(EndToEndTest, KilledAndRunAgainItGivesTheSameBytes) {
  prepare(kDifferentHeads);
  run(distilled("whole"));
  int told = 0;
  const CalibrationProgress killed = {.starts = {}, .moved = [&](const CalibrationStatus& s) {
                                        if (s.layer == 3 && ++told == 6)
                                          throw std::runtime_error("killed");
                                      }};
  EXPECT_THROW(run(distilled("killed"), killed), std::runtime_error);
  run(distilled("killed"));
  expect_same_files("whole", "killed");
}

TEST_F(EndToEndTest, WhatIsFinishedIsNotDoneAgain) {
  prepare(kDifferentHeads);
  const ConversionPlan whole = run(distilled("whole"));
  EXPECT_THROW(run(distilled("killed"), killed_at_its_end()), std::runtime_error);
  int steps = 0;
  const ConversionPlan again =
      run(distilled("killed"), {.starts = {}, .moved = [&](const CalibrationStatus& s) {
                                  if (std::string(s.stage).starts_with("all layers together"))
                                    ++steps;
                                }});
  EXPECT_EQ(steps, 0);
  EXPECT_EQ(again.quality->kl, whole.quality->kl);
  expect_same_files("whole", "killed");
}

TEST_F(EndToEndTest, WorksOnLayersFittedToTheParentsInputs) {
  prepare(kDifferentHeads);
  ConvertOptions by = distilled("out");
  by.calibration.sequential = false;
  by.calibration.refit_output = false;
  by.calibration.layer_steps = 0;
  const ConversionPlan plan = run(by);
  ASSERT_TRUE(plan.before_distillation);
  EXPECT_NEAR(plan.quality->kl, kl_of("out"), 1e-5);
  EXPECT_LT(plan.quality->kl, plan.before_distillation->kl);
  by.out = at("plain");
  by.calibration.distill_steps = 0;
  EXPECT_FALSE(run(by).quality);  // the whole converted model was never there
}

TEST_F(EndToEndTest, EveryKindOfModelGains) {
  const std::vector<std::pair<std::string, TinyModelSpec>> kinds = {
      {"bias", {.n_heads = 6, .n_kv_heads = 6, .attention_bias = true}},
      {"tied, bf16",
       {.n_heads = 6, .n_kv_heads = 6, .dtype = Dtype::kBF16, .tie_word_embeddings = true}},
      {"LayerNorm", {.model_type = "stablelm", .attention_bias = true}},
      {"window",
       {.model_type = "qwen2", .n_layers = 3, .n_heads = 6, .n_kv_heads = 6, .sliding_window = 5}}};
  for (const auto& [kind, spec] : kinds) {
    SCOPED_TRACE(kind);
    prepare(spec);
    ConvertOptions by = distilled("out");
    by.output.overwrite = true;
    const ConversionPlan plan = run(by);
    EXPECT_TRUE(plan.before_distillation);
    EXPECT_NEAR(plan.quality->kl, kl_of("out"), 1e-5);
  }
}

TEST_F(EndToEndTest, DevicesAgree) {
  prepare(kDifferentHeads);
  const ConversionPlan cpu = run(distilled("cpu"));
  for (const at::Device device : devices()) {
    ConvertOptions by = distilled("on-" + device.str());
    by.calibration.device = device.str();
    const ConversionPlan plan = run(by);
    ASSERT_TRUE(plan.before_distillation);
    EXPECT_NEAR(plan.quality->kl, cpu.quality->kl, 0.05 * cpu.quality->kl);
  }
}

// Text that the parent writes itself stands in for a file.
TEST_F(EndToEndTest, CalibratesOnTheParentsOwnText) {
  prepare(kDifferentHeads);
  ConvertOptions own = distilled("own", 3);  // on what layers were fitted on: no more is written
  own.calibration.files = {kOwnText};
  own.calibration.tokens = 2000;
  std::vector<int64_t> written;
  const CalibrationProgress progress = {
      .starts = {}, .moved = {}, .writes = [&](int64_t tokens, int64_t all) {
        EXPECT_EQ(all, 62 * 32);
        written.push_back(tokens);
      }};
  const ConversionPlan plan = run(own, progress);
  EXPECT_EQ(written.size(), 1 + 4 * 31u);  // four batches of 16 texts, token by token
  EXPECT_TRUE(std::is_sorted(written.begin(), written.end()));
  EXPECT_EQ(written.front(), 0);
  EXPECT_EQ(written.back(), 62 * 32);
  EXPECT_EQ(plan.calibration_tokens, 62 * 32);
  ConvertOptions blind = distilled("blind", 0);
  blind.calibration = {};
  run(blind);
  EXPECT_LT(kl_of("own"), kl_of("blind"));
  const Json record = read_strict_json(at("own/regroup.json"), kManifestJson);
  EXPECT_EQ(record.at("arguments").at("calibration").at("text_sha256"), "self");

  own.out = at("again");
  run(own);
  expect_same_files("own", "again");
  own.out = at("other");
  own.seed = 1;
  run(own);
  EXPECT_NE(sha256_of_file(at("own/model.safetensors")),
            sha256_of_file(at("other/model.safetensors")));
}

TEST(EndToEndMemory, TheWholeModelIsCounted) {
  ModelConfig config;
  config.family = find_family("llama");
  config.n_layers = 32;
  config.hidden_size = 4096;
  config.intermediate_size = 11008;
  config.n_heads = config.n_kv_heads = 32;
  config.head_dim = 128;
  config.vocab_size = 32000;
  config.max_positions = 4096;
  CalibrationOptions options{.files = {"text.bin"}};
  const int64_t layers = calibration_memory(config, options);
  options.distill_steps = 26;
  const int64_t together = calibration_memory(config, options);
  EXPECT_LT(layers, int64_t{1} << 33);
  EXPECT_GT(together, int64_t{7} << 32);  // 7 G parameters in float32, and more
  options = {.files = {kOwnText}};
  EXPECT_GT(calibration_memory(config, options), int64_t{6} << 32);
}

}  // namespace
}  // namespace regroup::testing
