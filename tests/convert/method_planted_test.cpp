// Methods on models whose heads hide a truth: equal, turned, scaled or scattered copies of fewer heads.
#include <gtest/gtest.h>

#include "convert/convert_tools.h"
#include "convert/planted.h"
#include "model/decoder_tools.h"
#include "regroup/base/path.h"
#include "regroup/calibration/calibrate.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// How far converting `hidden` by a method moves the logits.
double damage(const std::string& model, const std::string& out, int64_t n_kv_heads, Method method,
              Grouping grouping, int64_t vocab) {
  const ModelFolder folder = ModelFolder::open(model);
  const ConvertOptions options{.model = model,
                               .out = out,
                               .n_kv_heads = n_kv_heads,
                               .method = method,
                               .grouping = grouping,
                               .output = {.overwrite = true}};
  plan_and_convert(folder, options, {});
  const at::Tensor ids = random_ids(2, 19, vocab, 3);
  return relative_error(all_logits(load_folder(out), ids), all_logits(load_folder(model), ids));
}

struct Planted {
  const char* what;
  TinyModelSpec spec;  // distinct_kv_heads says how many heads are different
};

std::vector<Planted> planted_models() {
  return {
      {"MHA, H 6, G 3, d 10",
       {.n_heads = 6, .n_kv_heads = 6, .head_dim = 10, .hidden_size = 36, .distinct_kv_heads = 3}},
      {"biases, G 2",
       {.n_heads = 6, .n_kv_heads = 6, .attention_bias = true, .distinct_kv_heads = 2}},
      {"qwen2, G 2",
       {.model_type = "qwen2", .n_heads = 6, .n_kv_heads = 6, .distinct_kv_heads = 2}},
      {"stablelm, biases, G 2",
       {.model_type = "stablelm",
        .n_heads = 6,
        .n_kv_heads = 6,
        .hidden_size = 48,
        .attention_bias = true,
        .distinct_kv_heads = 2}},
      {"one head", {.n_heads = 4, .n_kv_heads = 4, .distinct_kv_heads = 1}},
      {"GQA parent", {.n_heads = 12, .n_kv_heads = 6, .head_dim = 6, .distinct_kv_heads = 3}}};
}

/// Writes the planted model, its heads then brought into another basis.
std::string plant(const TemporaryFolder& temporary, const TinyModelSpec& spec,
                  const Change& change) {
  write_tiny_model(temporary / "plain", spec);
  const ModelConfig config = ModelFolder::open(temporary / "plain").config();
  convert_by(rebased(config, change), temporary / "plain", temporary / "hidden", spec.n_kv_heads);
  return temporary / "hidden";
}

constexpr double kLossless = 2e-5;
constexpr double kLossy = 1e-2;

TEST(PlantedTruth, EqualHeadsMergeWithoutLoss) {
  for (const Planted& p : planted_models()) {
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in", p.spec);
    for (const Method method : {Method::kMean, Method::kFirst, Method::kMedoid, Method::kWeighted,
                                Method::kAlign, Method::kAlignNorm, Method::kPca}) {
      EXPECT_LE(damage(temporary / "in", temporary / "out", p.spec.distinct_kv_heads, method,
                       Grouping::kContiguous, p.spec.vocab_size),
                kLossless)
          << p.what << ", " << method_name(method);
    }
  }
}

TEST(PlantedTruth, TurnedHeadsMergeWithoutLossOnceAligned) {
  const Change turned{.why = "turned", .turn_values = true, .turn_keys = true};
  for (const Planted& p : planted_models()) {
    const TemporaryFolder temporary;
    const std::string hidden = plant(temporary, p.spec, turned);
    const auto by = [&](Method method) {
      return damage(hidden, temporary / "out", p.spec.distinct_kv_heads, method,
                    Grouping::kContiguous, p.spec.vocab_size);
    };
    for (const Method method : {Method::kAlign, Method::kAlignNorm, Method::kPca}) {
      EXPECT_LE(by(method), kLossless) << p.what << ", " << method_name(method);
    }
    for (const Method method : {Method::kMean, Method::kFirst, Method::kMedoid}) {
      EXPECT_GE(by(method), kLossy) << p.what << ", " << method_name(method);
    }
  }
}

// c_i k with complex c_i of different size: one principal component a plane, but no common rotation.
TEST(PlantedTruth, ScaledKeysNeedPrincipalComponents) {
  const Change scaled{.why = "scaled", .turn_keys = true, .scale_keys = true};
  for (const Planted& p : planted_models()) {
    const TemporaryFolder temporary;
    const std::string hidden = plant(temporary, p.spec, scaled);
    const auto by = [&](Method method) {
      return damage(hidden, temporary / "out", p.spec.distinct_kv_heads, method,
                    Grouping::kContiguous, p.spec.vocab_size);
    };
    EXPECT_LE(by(Method::kPca), kLossless) << p.what;
    EXPECT_GE(by(Method::kAlign), kLossy) << p.what;
    EXPECT_GE(by(Method::kAlignNorm), kLossy) << p.what;
  }
}

TEST(PlantedTruth, ScatteredHeadsAreFoundByGrouping) {
  const Change scattered{
      .why = "scattered", .permute = true, .turn_values = true, .turn_keys = true};
  for (const Planted& p : planted_models()) {
    if (p.spec.distinct_kv_heads == 1) continue;  // one group: nothing to find
    const TemporaryFolder temporary;
    const std::string hidden = plant(temporary, p.spec, scattered);
    const auto by = [&](Grouping grouping) {
      return damage(hidden, temporary / "out", p.spec.distinct_kv_heads, Method::kPca, grouping,
                    p.spec.vocab_size);
    };
    EXPECT_LE(by(Grouping::kSimilarity), kLossless) << p.what;
    EXPECT_LE(by(Grouping::kResidual), kLossless) << p.what;
    EXPECT_GE(by(Grouping::kContiguous), kLossy) << p.what;
  }
}

// A silent head costs nothing: with Wo zero for all but two heads, the two are kept.
TEST(PlantedTruth, PruningKeepsTheHeadsThatMatter) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 1};
  std::vector<double> output = tiny_values(spec, in_layer_0("o_proj.weight"), {32, 32});
  for (size_t i = 0; i < output.size(); ++i) {
    const size_t head = i % 32 / 8;
    if (head == 0 || head == 2) output[i] = 0;
  }
  write_model_with(temporary / "in", spec, {{in_layer_0("o_proj.weight"), output}});
  EXPECT_LE(
      damage(temporary / "in", temporary / "out", 2, Method::kPrune, Grouping::kContiguous, 64),
      kLossless);
  EXPECT_GE(
      damage(temporary / "in", temporary / "out", 2, Method::kMean, Grouping::kContiguous, 64),
      kLossy);
}

// The dropped heads' columns of Wo are zero, and the file says so.
TEST(PlantedTruth, PrunedHeadsFallSilent) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {});
  damage(temporary / "in", temporary / "out", 2, Method::kPrune, Grouping::kContiguous, 64);
  const std::vector<double> output = stored_values(temporary / "out", in_layer_0("o_proj.weight"));
  for (size_t head = 0; head < 4; ++head) {
    double sum = 0;
    for (size_t row = 0; row < 32; ++row) {
      for (size_t i = 0; i < 8; ++i) sum += std::abs(output[row * 32 + head * 8 + i]);
    }
    if (head % 2 == 0) {
      EXPECT_GT(sum, 0.0) << head;
    } else {
      EXPECT_EQ(sum, 0.0) << head;
    }
  }
}

TEST(PlantedTruth, TheSameSeedGivesTheSameBytes) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {.n_heads = 6, .n_kv_heads = 6});
  for (const char* out : {"a", "b"}) {
    damage(temporary / "in", temporary / out, 2, Method::kPca, Grouping::kResidual, 64);
  }
  for (const char* name : {"q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"}) {
    EXPECT_EQ(stored_bytes(temporary / "a", in_layer_0(name)),
              stored_bytes(temporary / "b", in_layer_0(name)));
  }
}

TEST(PlantedTruth, CombinationsThatMakeNoSense) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {});
  const auto refuse = [&](Method method, Grouping grouping) {
    const ErrorInfo error = expect_error<ConfigError>("METHOD_COMBINATION", [&] {
      damage(temporary / "in", temporary / "out", 2, method, grouping, 64);
    });
    EXPECT_FALSE(path_exists(temporary / "out.partial"));
    return error.message;
  };
  EXPECT_NE(refuse(Method::kRandom, Grouping::kResidual).find("random"), std::string::npos);
  EXPECT_NE(refuse(Method::kPrune, Grouping::kSimilarity).find("prune"), std::string::npos);
}

}  // namespace
}  // namespace regroup::testing
