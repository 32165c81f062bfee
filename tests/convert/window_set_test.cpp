// Layers fitted on several sets of windows: how they are cut, what each counts for, tokens of the vocabulary.
#include "window_set.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "calibration_text.h"
#include "convert/calibration_fixture.h"
#include "head_muon.h"
#include "layer_fit.h"
#include "output_refit.h"
#include "regroup/base/output_file.h"
#include "regroup/base/strict_json.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using at::Tensor;

TEST(FirstTokens, FollowFromTheSeedWithoutRepetition) {
  const std::vector<int64_t> ids = first_tokens(1000, 400, 1);
  EXPECT_EQ(ids.size(), 400u);
  const std::set<int64_t> different(ids.begin(), ids.end());
  EXPECT_EQ(different.size(), 400u);
  EXPECT_GE(*different.begin(), 0);
  EXPECT_LT(*different.rbegin(), 1000);
  EXPECT_EQ(first_tokens(1000, 400, 1), ids);
  EXPECT_NE(first_tokens(1000, 400, 2), ids);
  // All of them, not in the order of the vocabulary: the last ones are held out.
  const std::vector<int64_t> all = first_tokens(64, 100, 1);
  EXPECT_EQ(std::set<int64_t>(all.begin(), all.end()).size(), 64u);
  EXPECT_FALSE(std::is_sorted(all.begin(), all.end()));
}

ModelConfig vocabulary_of(int64_t size) {
  ModelConfig config;
  config.vocab_size = size;
  config.max_positions = 8192;
  return config;
}

TEST(WindowSets, TextAloneIsOneSetThatCountsWhole) {
  const CalibrationOptions options{.first_tokens = 0};
  const CalibrationSizes sizes = calibration_sizes(vocabulary_of(49152), options, 256, 40960);
  ASSERT_EQ(sizes.sets.size(), 1u);
  EXPECT_EQ(sizes.text().share, 1.0);
  EXPECT_EQ(sizes.tokens(), 40960);
}

TEST(WindowSets, FirstTokensAreAsManyAsVocabularyAndTextAllow) {
  const auto first = [](int64_t vocab, int64_t tokens) {
    return calibration_sizes(vocabulary_of(vocab), {}, 256, tokens).sets.back();
  };
  EXPECT_EQ(first(49152, 40960).windows, 4096);
  EXPECT_EQ(first(49152, 40960).held_out, 409);
  EXPECT_EQ(first(49152, 40960).step_windows,
            205);  // 3,687 in 18 steps, as 144 windows of text in 8s
  EXPECT_EQ(first(512, 40960).windows, 512);
  EXPECT_EQ(first(49152, 2048).windows, 512);
  const CalibrationSizes sizes = calibration_sizes(vocabulary_of(512), {}, 256, 40960);
  EXPECT_DOUBLE_EQ(sizes.text().share, 0.95);
  EXPECT_EQ(sizes.sets.back().share, 0.05);
  EXPECT_FALSE(sizes.sets.back().text);
  EXPECT_EQ(sizes.tokens(), 40960 + 512);
  EXPECT_EQ(sizes.text().tokens(), 40960);
}

TEST(WindowSets, ClosedFormsAloneTakeNoFirstTokens) {
  const CalibrationOptions options{.refit_output = false, .layer_steps = 0};
  EXPECT_EQ(calibration_sizes(vocabulary_of(512), options, 256, 40960).sets.size(), 1u);
}

// One head whose values and output projection are the identity, over windows of one token: what it adds to
// the residual stream is its input.
class LayerOfSets : public CalibrationTest {
 protected:
  void SetUp() override {
    prepare({.n_layers = 1, .n_heads = 1, .n_kv_heads = 1, .head_dim = 8, .hidden_size = 8});
    config_ = ModelFolder::open(at("in")).config();
    w_.qkv = at::cat({at::zeros({16, 8}), at::eye(8)});
    w_.output = at::eye(8);
    rope_ = make_rope_tables(config_, 1, 1, at::kCPU);
  }
  /// Windows of one token, given by the first two of eight channels.
  static Tensor tokens(const std::vector<std::vector<double>>& pairs) {
    const Tensor x = at::zeros({static_cast<int64_t>(pairs.size()), 1, 8});
    for (size_t i = 0; i < pairs.size(); ++i) {
      for (size_t c = 0; c < 2; ++c)
        x[static_cast<int64_t>(i)][0][static_cast<int64_t>(c)] = pairs[i][c];
    }
    return x;
  }
  LayerWindows windows(double share, int64_t n_train, const Tensor& input, const Tensor& wanted,
                       const std::vector<float>& weight) const {
    const Tensor counted = at::tensor(weight).view({-1, 1, 1});
    return {.n_train = n_train,
            .n = input.size(0),
            .step_windows = n_train,
            .at_once = 2,
            .share = share,
            .rope = &rope_,
            .batch = [=](const std::vector<int64_t>& chosen) {
              const Tensor index = at::tensor(chosen, at::kLong);
              return LayerBatch{input.index_select(0, index), wanted.index_select(0, index),
                                counted.index_select(0, index)};
            }};
  }
  /// After a few steps, [24 + 8, 8].
  Tensor trained(const std::vector<LayerWindows>& sets) const {
    LayerWeights w = w_;
    w.qkv = at::cat({at::eye(8), at::eye(8), at::eye(8)});
    const c10::AutoGradMode gradients(true);
    train_layer(config_, w, 0, sets, 1.0, {.steps = 3, .learning_rate = 0.1, .looks = 0});
    return at::cat({w.qkv, w.output});
  }

  ModelConfig config_;
  LayerWeights w_;
  RopeTables rope_;
};

TEST_F(LayerOfSets, ErrorsAreWeightedByTokenAndMixedByShare) {
  // Held out: gaps (1, 0) and (0, 1) of what is wanted, (2, 0) and (0, 1), which count 1 and 4:
  // (1 + 4) / (4 + 4).
  const LayerWindows a = windows(0.75, 1, tokens({{9, 9}, {1, 0}, {0, 2}}),
                                 tokens({{0, 0}, {2, 0}, {0, 1}}), {7, 1, 4});
  // A gap of (2, 0) of what is wanted, (1, 0), whatever it counts: 4.
  const LayerWindows b =
      windows(0.25, 1, tokens({{9, 9}, {3, 0}}), tokens({{0, 0}, {1, 0}}), {1, 10});
  const auto alone = [&](LayerWindows set) {
    set.share = 1;
    return layer_error(config_, w_, 0, {set});
  };
  EXPECT_NEAR(alone(a), 0.625, 1e-6);
  EXPECT_NEAR(alone(b), 4, 1e-6);
  EXPECT_NEAR(layer_error(config_, w_, 0, {a, b}), 0.75 * 0.625 + 0.25 * 4, 1e-6);
}

TEST_F(LayerOfSets, AStepFollowsEverySetByItsShare) {
  const LayerWindows a = windows(1, 2, tokens({{1, 0}, {0, 2}}), tokens({{2, 0}, {0, 1}}), {1, 1});
  const LayerWindows nothing = windows(0, 1, tokens({{3, 5}}), tokens({{-4, 1}}), {1});
  const Tensor alone = trained({a});
  EXPECT_TRUE(alone.equal(trained({a, nothing})));
  LayerWindows half = a;
  half.share = 0.5;
  EXPECT_LE(relative_error(trained({half, half}), alone), 1e-4);
  LayerWindows much = nothing;
  much.share = 1;
  EXPECT_GE(relative_error(trained({a, much}), alone), 1e-3);
}

// Muon's iteration as it is written down (Jordan et al. 2024), on two heads of 4 x 6.
TEST(HeadMuon, StepsAlongTheOrthogonalisedMomentum) {
  ModelConfig config;
  config.head_dim = 4;
  LayerWeights w;
  w.qkv = random_tensor({8, 6}, 1);
  w.output = random_tensor({6, 8}, 2);
  HeadMuon muon(config, w);
  const Tensor before = w.qkv.detach().clone();
  const Tensor gradient = random_tensor({8, 6}, 3);
  muon.step({gradient, at::zeros({6, 8})}, 0.1);
  for (int64_t head = 0; head < 2; ++head) {
    const auto rows = [&](const Tensor& x) { return x.detach().narrow(0, 4 * head, 4); };
    Tensor y = rows(gradient).div(rows(gradient).norm());
    for (int i = 0; i < 5; ++i) {
      const Tensor a = at::matmul(y, y.t());
      y = y.mul(3.4445).add(at::matmul(a.mul(-4.7750).add(at::matmul(a, a), 2.0315), y));
    }
    const Tensor step = y.mul(rows(before).norm().div(y.norm()).mul(0.1));
    EXPECT_LE(relative_error(rows(w.qkv), rows(before).sub(step)), 1e-5) << head;
  }
  EXPECT_TRUE(w.output.detach().equal(random_tensor({6, 8}, 2)));  // nothing to follow: no step
}

TEST_F(LayerOfSets, ErrorsCountAsTheNextNormSeesThem) {
  // Mean squares of eight channels: 1 / 8 and 100 / 8.
  const Tensor weights = token_weights(tokens({{1, 0}, {6, 8}}), config_);
  EXPECT_NEAR(weights[0][0][0].item<double>(), 8, 1e-3);
  EXPECT_NEAR(weights[1][0][0].item<double>(), 0.08, 1e-5);
  EXPECT_TRUE(token_weights(tokens({{0, 0}}), config_).isfinite().all().item<bool>());
}

// What the layers below left out is noise here, three times as large as what the parent's attention adds: least
// squares leaves it alone, and steps must not learn it by heart, but bring q, k and v back.
TEST_F(CalibrationTest, StepsLearnNoNoiseOfTheLayersBelow) {
  prepare({.n_layers = 1});
  const ModelFolder folder = ModelFolder::open(at("in"));
  const ModelConfig& config = folder.config();
  const LayerWeights truth = load_layer(folder, 0, at::kFloat, at::kCPU);
  const WindowSizes sizes{.windows = 40, .held_out = 10, .seq_len = 16, .step_windows = 4};
  std::vector<WindowSet> sets;
  sets.emplace_back(config, sizes, at::zeros({40, 16}, at::kLong), CalibrationOptions{}, at::kCPU);
  WindowSet& set = sets.front();
  const Tensor x = random_tensor({40, 16, config.hidden_size}, 2);
  const auto added = [&](const LayerWeights& w) {
    const Tensor y = norm(x, w.input_norm, config.norm_eps);
    return project(attention_heads(config, w, 0, y, set.rope), w.output, w.output_bias);
  };
  const Tensor own = added(truth);
  const Tensor noise =
      random_tensor(own.sizes().vec(), 3)
          .mul(3 * own.norm().item<double>() / std::sqrt(static_cast<double>(own.numel())));
  set.converted.write(0, x);
  set.before->write(0, x.add(noise));
  set.parent.write(0, x.add(noise).add(own));

  LayerWeights w = truth;
  w.qkv = truth.qkv.add(random_tensor(truth.qkv.sizes().vec(), 4),
                        0.3 * truth.qkv.std().item<double>());
  w.output = truth.output.clone();
  ConvertOptions request{.n_kv_heads = config.n_kv_heads};
  request.calibration.layer_lr = 0.04;
  const auto error_after = [&](int64_t steps) {
    request.calibration.layer_steps = steps;
    const CalibrationCost cost(config, request, {.sets = {sizes}, .steps = steps});
    CalibrationMeter meter({.flops_per_s = 1e9, .step_s = 1, .layer_s = 1}, 1, 1, {});
    LayerWeights fitted = w;
    fitted.output = w.output.clone();
    LayerReport report;
    LayerFit(config, sets, request, cost, meter).improve(0, fitted, report);
    set.before->write(0, x.add(noise));
    return relative_error(added(fitted).narrow(0, 30, 10), own.narrow(0, 30, 10));
  };
  const double refitted = error_after(0);
  EXPECT_LT(error_after(120), 0.7 * refitted);
}

struct RefitTokens {
  Tensor heads = random_tensor({40, 6}, 1);
  Tensor own = random_tensor({40, 5}, 2);
  Tensor carried = random_tensor({40, 5}, 4);
  Tensor wanted = own.add(carried);
  Tensor start = random_tensor({5, 6}, 3);

  OutputRefit of(const Tensor& rows, const Tensor& weight, const Tensor& bias = {}) const {
    OutputRefit refit(6, 5);
    refit.add(heads.index_select(0, rows), own.index_select(0, rows), carried.index_select(0, rows),
              weight, bias);
    return refit;
  }
};

/// Plain least squares: the tokens it is fitted on choose the smallest ridge.
Tensor solved(const OutputRefit& refit, const Tensor& start) {
  return refit.solve(start, refit).added_to(start);
}

TEST(WeightedRefit, AWeightIsARowSoManyTimes) {
  const RefitTokens tokens;
  const Tensor weight = at::ones({40, 1});
  std::vector<int64_t> repeated;
  for (int64_t row = 0; row < 40; ++row) {
    const int64_t times = row % 4 + 1;
    weight[row][0] = static_cast<double>(times);
    repeated.insert(repeated.end(), static_cast<size_t>(times), row);
  }
  const Tensor once = at::tensor(std::vector<int64_t>(first_tokens(40, 40, 1)), at::kLong);
  const Tensor by_weight = solved(tokens.of(once, weight.index_select(0, once)), tokens.start);
  const Tensor by_rows = solved(tokens.of(at::tensor(repeated, at::kLong),
                                          at::ones({static_cast<int64_t>(repeated.size()), 1})),
                                tokens.start);
  EXPECT_LE(relative_error(by_weight, by_rows), 1e-5);
}

TEST(WeightedRefit, AJoinedSetCountsForItsShareWhateverItsSize) {
  const RefitTokens tokens;
  const Tensor many = at::tensor(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, at::kLong);
  const Tensor few = at::tensor(std::vector<int64_t>{20, 21}, at::kLong);
  const auto energy = [&](const Tensor& rows) {
    return tokens.wanted.index_select(0, rows).square().sum().item<double>();
  };
  OutputRefit joined = tokens.of(many, at::ones({10, 1}));
  joined.join(tokens.of(few, at::ones({2, 1})), 0.25 / 0.75);
  OutputRefit by_hand = tokens.of(many, at::ones({10, 1}));
  const Tensor weight = at::ones({2, 1}).mul(energy(many) / energy(few) / 3);
  by_hand.add(tokens.heads.index_select(0, few), tokens.own.index_select(0, few),
              tokens.carried.index_select(0, few), weight);
  EXPECT_LE(relative_error(solved(joined, tokens.start), solved(by_hand, tokens.start)), 1e-5);
  // Larger by a factor, it counts the same.
  OutputRefit larger = tokens.of(many, at::ones({10, 1}));
  larger.join(tokens.of(few, at::ones({2, 1}).mul(1000)), 0.25 / 0.75);
  EXPECT_LE(relative_error(solved(larger, tokens.start), solved(joined, tokens.start)), 1e-5);
}

// The loss divides by all that is wanted, the bias's part too.
TEST(WeightedRefit, AShareIsOfWhatIsWantedWithTheBias) {
  const RefitTokens tokens;
  const Tensor many = at::tensor(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, at::kLong);
  const Tensor few = at::tensor(std::vector<int64_t>{20, 21}, at::kLong);
  const Tensor bias = at::ones({5}).mul(3);
  const auto energy = [&](const Tensor& rows) {
    return tokens.wanted.index_select(0, rows).square().sum().item<double>();
  };
  OutputRefit joined = tokens.of(many, at::ones({10, 1}), bias);
  joined.join(tokens.of(few, at::ones({2, 1}), bias), 1.0);
  OutputRefit by_hand = tokens.of(many, at::ones({10, 1}), bias);
  by_hand.add(tokens.heads.index_select(0, few), tokens.own.index_select(0, few),
              tokens.carried.index_select(0, few), at::ones({2, 1}).mul(energy(many) / energy(few)),
              bias);
  EXPECT_LE(relative_error(solved(joined, tokens.start), solved(by_hand, tokens.start)), 1e-5);
}

class ConversionOfSets : public CalibrationTest {};

TEST_F(ConversionOfSets, EverySetChangesTheLayersAndStatesItself) {
  prepare(kDifferentHeads);
  ConvertOptions alone = options("alone");
  alone.calibration.first_tokens = 0;
  run(alone);
  CalibrationForecast ahead;
  run(options("first"), {.starts = [&](const CalibrationForecast& f) { ahead = f; }, .moved = {}});
  EXPECT_EQ(ahead.first_tokens, 64);
  const auto weights = [&](const char* name) {
    return sha256_of_file(at(name) + std::string("/model.safetensors"));
  };
  EXPECT_NE(weights("alone"), weights("first"));
}

// What another number of first tokens, or none, as before there were any, has fitted is not gone on with.
TEST_F(ConversionOfSets, OtherFirstTokensAreAnotherRun) {
  prepare(kDifferentHeads);
  EXPECT_THROW(run(options("out"), killed_at_layer(1)), std::runtime_error);
  ConvertOptions fewer = options("out");
  fewer.calibration.first_tokens = 32;
  expect_error<ConfigError>("CKPT_MISMATCH", [&] { run(fewer); });
  const std::string job = at("out.partial/JOB.json");
  Json before = read_strict_json(job, kManifestJson);
  EXPECT_EQ(before.at("arguments").at("calibration").at("first_tokens"), kFirstTokens);
  before["arguments"]["calibration"].erase("first_tokens");
  write_file_atomically(job, before.dump());
  expect_error<ConfigError>("CKPT_MISMATCH", [&] { run(options("out")); });
}

}  // namespace
}  // namespace regroup::testing
