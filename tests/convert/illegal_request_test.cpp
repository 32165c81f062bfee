// What a kind of attention does not allow is refused when it is asked for, before anything is read.
#include <gtest/gtest.h>

#include "regroup/convert/legality.h"
#include "regroup/convert/plan.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"
#include "writing/layer_changes.h"

namespace regroup::testing {
namespace {

using Position = AttentionTraits::Position;

TEST(IllegalRequest, IsRefusedWithTheReason) {
  struct Case {
    const char* name;
    AttentionTraits attention;
    std::optional<double> clip;
    Method method;
    Grouping grouping;
    const char* why;  ///< "": legal
  };
  const AttentionTraits alibi{.position = Position::kAlibi};
  const AttentionTraits table{.position = Position::kRelativeBias};
  const AttentionTraits normed{.qk_norm = QkNorm::kHead};
  using enum Method;
  using enum Grouping;
  const Case cases[] = {
      {"ALiBi, regrouped",
       alibi,
       {},
       kPca,
       kResidual,
       "an ALiBi slope belongs to each head's number"},
      {"ALiBi, regrouped", alibi, {}, kMean, kSimilarity, "heads would change their order"},
      {"ALiBi, pruned", alibi, {}, kPrune, kContiguous, "an ALiBi slope"},
      {"ALiBi, neighbours", alibi, {}, kPca, kContiguous, ""},
      {"T5, regrouped", table, {}, kAlign, kResidual, "all layers share one table"},
      {"T5, neighbours", table, {}, kAlign, kContiguous, ""},
      {"QK-norm, pca", normed, {}, kPca, kContiguous, ""},
      {"QK-norm, align", normed, {}, kAlignNorm, kContiguous, "do not commute with QK-norm"},
      {"QK-norm, regrouped means", normed, {}, kMean, kResidual, ""},
      {"clipped, pca",
       {},
       8.0,
       kPca,
       kResidual,
       "mixes a head's channels, and the model clips each to 8"},
      {"clipped, align", {}, 8.0, kAlign, kContiguous, "mixes a head's channels"},
      {"clipped, medoid", {}, 8.0, kMedoid, kResidual, ""},
      {"Llama", {}, {}, kPca, kResidual, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ModelConfig config = parse_model_config(
        tiny_config({.n_heads = 6, .n_kv_heads = 6, .max_positions = 64}), "config.json");
    config.architecture = "FooForCausalLM";
    config.attention = c.attention;
    config.clip_qkv = c.clip;
    ConvertOptions options;
    options.method = c.method;
    options.grouping = c.grouping;
    options.n_kv_heads = 3;
    if (std::string(c.why).empty()) {
      EXPECT_EQ(why_illegal(c.method, c.grouping, config), "");
      EXPECT_NO_THROW(options_for(config, options));
      continue;
    }
    const ErrorInfo error =
        expect_error<ConfigError>("METHOD_COMBINATION", [&] { options_for(config, options); });
    EXPECT_NE(error.message.find(c.why), std::string::npos) << error.message;
    EXPECT_NE(error.message.find("is not exact for FooForCausalLM"), std::string::npos);
    const char* hint = c.attention.normalises_keys() ? "choose `method` pca" : "contiguous";
    EXPECT_NE(error.hint.find(hint), std::string::npos);
  }
}

// What is planned before a run is what the run does: no refit of Wo behind a norm, no logit gain under QK-norm.
TEST(Request, MeansWhatTheModelLetsItMean) {
  const auto config = [](const char* family) {
    return parse_model_config(tiny_config({.model_type = family}), "config.json");
  };
  ConvertOptions options;
  options.method = Method::kPca;
  options.n_kv_heads = 2;
  options.calibration.files = {"text.txt"};
  options.calibration.layer_steps = 0;
  EXPECT_TRUE(expects_new_weights(options_for(config("llama"), options)));
  EXPECT_FALSE(expects_new_weights(options_for(config("olmo2"), options)));
  EXPECT_FALSE(options_for(config("olmo2"), options).calibration.refit_output);
  EXPECT_TRUE(options_for(config("qwen3"), options).calibration.refit_output);
  EXPECT_EQ(options_for(config("qwen3"), options).logit_gain, Gain::kOff);
  options.logit_gain = Gain::kOn;
  EXPECT_NO_THROW(options_for(config("llama"), options));
  expect_error<ConfigError>("METHOD_COMBINATION", [&] { options_for(config("qwen3"), options); });
}

// A plan is made once: what weights decide is filled in, not planned anew.
TEST(Plan, SaysWhatMayChangeUntilItIsSettled) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {.n_layers = 2, .n_heads = 6, .n_kv_heads = 6});
  const ModelFolder model = ModelFolder::open(temporary / "in");
  const ConvertOptions options{
      .model = temporary / "in", .out = temporary / "out", .n_kv_heads = 2};
  ASSERT_EQ(options.method, kDefaultMethod);
  ConversionPlan plan = plan_conversion(model, options);
  EXPECT_TRUE(plan.transforms.empty());
  EXPECT_EQ(plan.n_changed, 2 * 4) << "pca may change queries, keys, values and outputs";
  EXPECT_THROW(execute_conversion(model, plan, options, {}), std::logic_error);
  const int64_t written = plan.written_bytes;
  settle(plan, model, {.transforms = make_transforms(Method::kMean, model.config(), 2)});
  EXPECT_EQ(plan.n_changed, 2 * 2) << "the means of keys and values";
  EXPECT_EQ(plan.written_bytes, written);
  EXPECT_NO_THROW(execute_conversion(model, plan, options, {}));
  expect_error<ConfigError>("TRANSFORM", [&] { settle(plan, model, {}); });
}

}  // namespace
}  // namespace regroup::testing
