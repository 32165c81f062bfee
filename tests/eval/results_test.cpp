// The results object, key for key as scripts rely on it.
#include "regroup/eval/results.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/model/load.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

EvaluatedModel model_of(const std::string& path, const std::string& role, int64_t n_kv_heads) {
  return {.path = path,
          .role = role,
          .config = parse_model_config(tiny_config({.n_kv_heads = n_kv_heads}), "config.json"),
          .dtype = "f32",
          .digest = "d",
          .stored_kv_bits = 16};
}

/// Nine tokens at seq_len 4: two windows of four predictions with these sums.
TextScore score_of(double first, double second, double kl = 0, int64_t agreed = 4) {
  return {.windows = {{.tokens = 4, .nll = first, .kl = kl, .agreed = agreed},
                      {.tokens = 4, .nll = second, .kl = kl, .agreed = agreed}},
          .positions = {{.tokens = 2, .nll = first / 4 + second / 4, .kl = kl / 2},
                        {.tokens = 6, .nll = 3 * (first + second) / 4, .kl = 1.5 * kl}},
          .token_nll = {},
          .kl_blocks = std::vector<Histogram>(2),
          .delta_p_blocks = std::vector<Histogram>(2)};
}

EvaluatedText text_of(std::vector<TextScore> scores, std::optional<int64_t> bytes = 16,
                      std::optional<int64_t> words = 4) {
  return {.stream = {.name = "valid",
                     .ids = std::vector<int64_t>(9, 0),
                     .bytes = bytes,
                     .words = words},
          .windows = {.seq_len = 4, .batch_size = 2},
          .scores = std::move(scores)};
}

using Keys = std::vector<std::string>;
const Keys kLossKeys = {"alias",
                        "loss,none",
                        "loss_stderr,none",
                        "perplexity,none",
                        "perplexity_stderr,none",
                        "byte_perplexity,none",
                        "byte_perplexity_stderr,none",
                        "bits_per_byte,none",
                        "bits_per_byte_stderr,none",
                        "word_perplexity,none",
                        "word_perplexity_stderr,none",
                        "tokens",
                        "bytes",
                        "words"};
const Keys kFidelityKeys = {"kl,none",
                            "kl_stderr,none",
                            "top1_agreement,none",
                            "top1_agreement_stderr,none",
                            "loss_delta,none",
                            "loss_delta_stderr,none",
                            "delta_p,none",
                            "delta_p_stderr,none",
                            "rms_delta_p,none",
                            "rms_delta_p_stderr,none",
                            "nll_correlation,none",
                            "nll_correlation_stderr,none",
                            "kl_p50,none",
                            "kl_p50_stderr,none",
                            "kl_p90,none",
                            "kl_p90_stderr,none",
                            "kl_p99,none",
                            "kl_p99_stderr,none",
                            "kl_p999,none",
                            "kl_p999_stderr,none",
                            "kl_max,none",
                            "kl_max_stderr,none"};

Json results_json(const std::vector<EvaluatedModel>& models, const std::vector<bool>& listed,
                  int64_t baseline, const std::vector<EvaluatedText>& texts) {
  return evaluation_json(make_results(models, listed, baseline, texts));
}

Keys joined(Keys a, const Keys& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Losses 8 and 12 over 4 tokens each: 20 / 8 = 2.5. Eight predictions stand for 16 bytes and 4
// words. Residuals -2 and 2: sqrt(8 * 2) / 8 = 0.5.
TEST(Results, OneModel) {
  const Json json =
      results_json({model_of("m", "model", 4)}, {true}, -1, {text_of({score_of(8, 12)})});
  EXPECT_EQ(keys_of(json), (Keys{"format", "results", "configs", "versions", "n-shot", "n-samples",
                                 "config", "model_name", "regroup"}));
  const Json& valid = json.at("results").at("valid");
  EXPECT_EQ(keys_of(valid), kLossKeys);
  const auto number = [&](const char* key) { return valid.at(key).get<double>(); };
  EXPECT_DOUBLE_EQ(number("loss,none"), 2.5);
  EXPECT_DOUBLE_EQ(number("loss_stderr,none"), 0.5);
  EXPECT_DOUBLE_EQ(number("perplexity,none"), std::exp(2.5));
  EXPECT_DOUBLE_EQ(number("perplexity_stderr,none"), std::exp(2.5) * 0.5);
  EXPECT_DOUBLE_EQ(number("byte_perplexity,none"), std::exp(20.0 / 16));
  EXPECT_DOUBLE_EQ(number("bits_per_byte,none"), 20.0 / 16 / std::log(2.0));
  EXPECT_DOUBLE_EQ(number("bits_per_byte_stderr,none"), 0.5 * 8 / 16 / std::log(2.0));
  EXPECT_DOUBLE_EQ(number("word_perplexity,none"), std::exp(20.0 / 4));
  EXPECT_EQ(valid.at("tokens"), 8);
  EXPECT_EQ(valid.at("bytes"), 16);
  EXPECT_EQ(valid.at("words"), 4);
  EXPECT_EQ(json.at("n-samples").at("valid"), (Json{{"original", 2}, {"effective", 2}}));
  EXPECT_EQ(json.at("model_name"), "m");
  EXPECT_EQ(json.at("regroup").at("n_kv_heads"), 4);
  EXPECT_EQ(json.at("config").at("batch_size"), 2);
  EXPECT_EQ(json.at("configs").at("valid").at("batch_tokens"), 8);
}

// Token files have neither bytes nor words.
TEST(Results, WithoutText) {
  const Json json =
      results_json({model_of("m", "model", 4)}, {true}, -1, {text_of({score_of(8, 12)}, {}, {})});
  EXPECT_EQ(keys_of(json.at("results").at("valid")),
            (Keys{"alias", "loss,none", "loss_stderr,none", "perplexity,none",
                  "perplexity_stderr,none", "tokens"}));
}

TEST(Results, Baseline) {
  const std::vector<EvaluatedModel> models = {model_of("parent", "baseline", 4),
                                              model_of("g2", "converted", 2)};
  const Json json =
      results_json(models, {false, true}, 0, {text_of({score_of(8, 12), score_of(12, 16, 1, 3)})});
  const Json& valid = json.at("results").at("valid");
  EXPECT_EQ(keys_of(valid), joined(kLossKeys, kFidelityKeys));
  EXPECT_DOUBLE_EQ(valid.at("kl,none").get<double>(), 0.25);              // 2 / 8
  EXPECT_DOUBLE_EQ(valid.at("top1_agreement,none").get<double>(), 0.75);  // 6 / 8
  EXPECT_DOUBLE_EQ(valid.at("loss_delta,none").get<double>(), 1);         // (28 - 20) / 8
  // Both windows rise by 4: paired, the difference has no error, though either loss has one.
  EXPECT_EQ(valid.at("loss_delta_stderr,none"), 0.0);
  EXPECT_EQ(json.at("regroup").at("baseline"), "parent");
  EXPECT_EQ(json.at("regroup").at("role"), "converted");
  // Where it loses: both windows rise by 1 a token; of two bands of positions.
  const Json& damage = json.at("regroup").at("damage").at("valid");
  EXPECT_EQ(damage.at("worst_windows")[0].at("loss_before"), 2.0);
  EXPECT_EQ(damage.at("worst_windows")[0].at("loss"), 3.0);
  EXPECT_EQ(damage.at("collapsed_windows"), 0);
  EXPECT_EQ(damage.at("positions").size(), 2u);
}

// Probabilities of the right token: sums -0.4 and 0 over 4 tokens each, squares 0.08 and 0.24. Mean -0.05, residuals -0.2 and
// 0.2: sqrt(2 * 0.08) / 8 = 0.05. Mean of squares 0.04, residuals -0.08 and 0.08: 0.02; the root 0.2 with 0.02 / 0.4 = 0.05.
TEST(Results, DistancesOfSingleTokens) {
  TextScore score = score_of(12, 16, 1, 3);
  score.windows[0].delta_p = -0.4;
  score.windows[0].delta_p_squared = 0.08;
  score.windows[1].delta_p_squared = 0.24;
  for (size_t block = 0; block < 2; ++block) {
    for (const float kl : {0.5F, 1.0F, 2.0F, 4.0F}) score.kl_blocks[block].add(kl);
    for (int i = 0; i < 4; ++i) score.delta_p_blocks[block].add(-0.25F);
  }
  const Json json =
      results_json({model_of("parent", "baseline", 4), model_of("g2", "converted", 2)},
                   {false, true}, 0, {text_of({score_of(8, 12), score})});
  const Json& valid = json.at("results").at("valid");
  EXPECT_DOUBLE_EQ(valid.at("delta_p,none").get<double>(), -0.05);
  EXPECT_DOUBLE_EQ(valid.at("delta_p_stderr,none").get<double>(), 0.05);
  EXPECT_DOUBLE_EQ(valid.at("rms_delta_p,none").get<double>(), 0.2);
  EXPECT_DOUBLE_EQ(valid.at("rms_delta_p_stderr,none").get<double>(), 0.05);
  // 0.5, 0.5, 1, 1, 2, 2, 4, 4: the median lies between the 1 and the 2; both blocks hold the same.
  EXPECT_NEAR(valid.at("kl_p50,none").get<double>(), 1.5, 1.5 / 128);
  EXPECT_EQ(valid.at("kl_p50_stderr,none"), 0.0);
  EXPECT_EQ(valid.at("kl_max,none"), 4.0);
  EXPECT_EQ(valid.at("kl_max_stderr,none"), "N/A");
  const Json& curve = json.at("regroup").at("fidelity").at("valid");
  EXPECT_EQ(curve.at("tokens"), 8);
  ASSERT_EQ(curve.at("quantiles").size(), 13u);
  EXPECT_EQ(curve.at("kl")[0], 0.5);
  EXPECT_EQ(curve.at("kl")[12], 4.0);
  EXPECT_TRUE(curve.at("kl_high")[12].is_null());
  for (const Json& delta_p : curve.at("delta_p")) EXPECT_EQ(delta_p, -0.25);
}

// Three windows of two tokens. The baseline's nll are 1 2, 3 4, 5 6, the model's 2 2, 4 3, 6 7: over all six tokens
// 6 * 102 - 21 * 24 = 108, 6 * 91 - 21^2 = 105, 6 * 118 - 24^2 = 132, so 108 / sqrt(105 * 132). Without a window
// each: 24 / sqrt(20 * 40), 74 / sqrt(68 * 83), 10 / sqrt(20 * 11), which gives the error by the jackknife.
TEST(Results, CorrelationOfLogPerplexities) {
  const auto window = [](double nll, double squared, double product) {
    return WindowScore{.tokens = 2, .nll = nll, .nll_squared = squared, .nll_product = product};
  };
  const TextScore before{.windows = {window(3, 5, 5), window(7, 25, 25), window(11, 61, 61)}};
  const TextScore model{.windows = {window(4, 8, 6), window(7, 25, 24), window(13, 85, 72)}};
  const Estimate found = fidelity(model, before).nll_correlation;
  EXPECT_NEAR(found.value, 0.917364944587726, 1e-14);
  EXPECT_NEAR(found.stderr_, 0.21360847898648513, 1e-14);
}

TEST(Results, SeveralModels) {
  const std::vector<EvaluatedModel> models = {
      model_of("parent", "baseline", 4), model_of("g2", "converted", 2),
      model_of("up2", "uptrained", 2), model_of("up1", "uptrained", 1)};
  const TextScore parent = score_of(8, 12);
  const TextScore converted = score_of(16, 20, 1);
  const TextScore uptrained = score_of(10, 14, 0.5);
  const Json json = results_json(models, {true, true, true, true}, 0,
                                 {text_of({parent, converted, uptrained, uptrained})});
  EXPECT_EQ(keys_of(json), (Keys{"format", "models"}));
  ASSERT_EQ(json.at("models").size(), 4u);
  EXPECT_EQ(json.at("models")[2].at("model_name"), "up2");
  EXPECT_EQ(json.at("models")[0].at("results").at("valid").at("kl,none"), 0.0);
  // (36 - 24) / (36 - 20) = 0.75 of the gap to the converted model of as many heads.
  const Json& up2 = json.at("models")[2].at("results").at("valid");
  EXPECT_DOUBLE_EQ(up2.at("recovery,none").get<double>(), 0.75);
  EXPECT_TRUE(up2.contains("recovery_stderr,none"));
  EXPECT_FALSE(json.at("models")[1].at("results").at("valid").contains("recovery,none"));
  EXPECT_FALSE(json.at("models")[3].at("results").at("valid").contains("recovery,none"));
}

// JSON has no NaN: lm-eval writes "N/A", as for the error of a single window.
TEST(Results, NumbersThatAreNone) {
  TextScore one = score_of(8, 0);
  one.windows.pop_back();
  EvaluatedText text = text_of({one});
  text.stream.ids.resize(5);
  const Json json = results_json({model_of("m", "model", 4)}, {true}, -1, {text});
  EXPECT_EQ(json.at("results").at("valid").at("loss_stderr,none"), "N/A");
  EXPECT_EQ(json.at("results").at("valid").at("loss,none"), 2.0);
}

// Recovery is of the gap that the model's own conversion left, not of the first one's.
TEST(Results, RecoveryIsOfTheConversionThatWasTrained) {
  EvaluatedModel first = model_of("mean", "converted", 2);
  EvaluatedModel second = model_of("pca", "converted", 2);
  EvaluatedModel trained = model_of("pca/up", "uptrained", 2);
  first.digest = "1";
  second.digest = "2";
  const std::vector<EvaluatedModel> models = {model_of("parent", "baseline", 4), first, second,
                                              trained};
  const auto recovery = [&](const std::string& started_from) {
    std::vector<EvaluatedModel> all = models;
    all[3].started_from = started_from;
    const Json json = results_json(
        all, {true, true, true, true}, 0,
        {text_of({score_of(8, 8), score_of(24, 24), score_of(16, 16), score_of(12, 12)})});
    const Json result = json.at("models").at(3).at("results").at("valid");
    return result.value("recovery,none", -1.0);
  };
  EXPECT_DOUBLE_EQ(recovery("1"), 0.75);  // from 24 towards 8
  EXPECT_DOUBLE_EQ(recovery("2"), 0.5);   // from 16
  EXPECT_EQ(recovery(""), -1.0);          // of either: nobody knows
  EXPECT_EQ(recovery("3"), -1.0);         // of one that is not there

  const auto with_one = [&](const std::string& started_from) {
    trained.started_from = started_from;
    const Json json = results_json({models[0], models[1], trained}, {true, true, true}, 0,
                                   {text_of({score_of(8, 8), score_of(24, 24), score_of(12, 12)})});
    const Json result = json.at("models").at(2).at("results").at("valid");
    return result.value("recovery,none", -1.0);
  };
  EXPECT_DOUBLE_EQ(with_one(""), 0.75);  // nothing named: the only one
  EXPECT_EQ(with_one("3"), -1.0);        // another one is named: not this one's gap
}

TEST(Results, RolesFromTheManifest) {
  const TemporaryFolder temporary;
  EXPECT_EQ(origin_of(temporary.path()).role, "model");
  temporary.write("regroup.json", R"({"method": {"name": "mean"}})");
  EXPECT_EQ(origin_of(temporary.path()).role, "converted");
  temporary.write("regroup.json", R"({"method": {"name": "uptrain"}})");
  EXPECT_EQ(origin_of(temporary.path()).role, "uptrained");
  EXPECT_EQ(origin_of(temporary.path()).started_from, "");
  temporary.write("regroup.json",
                  R"({"method": {"name": "uptrain", "settings": {"model_sha256": "abc"}}})");
  EXPECT_EQ(origin_of(temporary.path()).started_from, "abc");
  temporary.write("regroup.json",
                  R"({"method": {"name": "uptrain", "settings": {"model_sha256": 7}}})");
  EXPECT_EQ(origin_of(temporary.path()).started_from, "");
  temporary.write("regroup.json", R"([1])");
  EXPECT_EQ(origin_of(temporary.path()).role, "model");
}

// The digest is that of the content: another name or place does not change it, another byte does.
TEST(Results, DigestOfAModel) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "a", {.n_shards = 2});
  write_tiny_model(temporary / "b", {.n_shards = 2});
  write_tiny_model(temporary / "c", {.n_shards = 2, .seed = 2});
  const auto digest = [&](const char* name) {
    return model_digest(ModelFolder::open(temporary / name));
  };
  EXPECT_EQ(digest("a"), digest("b"));
  EXPECT_NE(digest("a"), digest("c"));
  EXPECT_EQ(digest("a").size(), 64u);
}

}  // namespace
}  // namespace regroup::testing
