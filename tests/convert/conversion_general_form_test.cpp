// The general form: heads turned, scaled and permuted, queries and outputs folded to match.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "convert/planted.h"
#include "model/decoder_tools.h"

namespace regroup::testing {
namespace {

constexpr Change kChanges[] = {
    {.why = "permuted", .permute = true},
    {.why = "values turned", .turn_values = true},
    {.why = "keys turned", .turn_keys = true},
    {.why = "keys turned and scaled", .turn_keys = true, .scale_keys = true},
    {.why = "values stretched", .stretch_values = true},
    {.why = "everything",
     .permute = true,
     .turn_keys = true,
     .scale_keys = true,
     .stretch_values = true},
};

TEST(GeneralForm, AnotherBasisLeavesTheLogits) {
  const std::pair<const char*, TinyModelSpec> specs[] = {
      {"llama", {.n_heads = 12, .n_kv_heads = 12, .head_dim = 10, .hidden_size = 96}},
      {"biases", {.attention_bias = true, .mlp_bias = true, .n_shards = 3}},
      {"tied", {.tie_word_embeddings = true}},
      {"mistral", {.model_type = "mistral", .sliding_window = 5}},
      {"qwen2", {.model_type = "qwen2"}},
      {"stablelm", {.model_type = "stablelm", .head_dim = 8, .attention_bias = true}},
      {"grouped", {.n_heads = 12, .n_kv_heads = 4, .head_dim = 6, .attention_bias = true}},
  };
  double worst = 0;
  for (const auto& [family, spec] : specs) {
    for (const Change& change : kChanges) {
      SCOPED_TRACE(std::string(family) + ", " + change.why);
      const TemporaryFolder temporary;
      write_tiny_model(temporary / "in", spec);
      const ModelConfig config = ModelFolder::open(temporary / "in").config();
      convert_by(rebased(config, change), temporary / "in", temporary / "out", spec.n_kv_heads);
      EXPECT_NE(stored_bytes(temporary / "in", in_layer_0("o_proj.weight")) +
                    stored_bytes(temporary / "in", in_layer_0("q_proj.weight")),
                stored_bytes(temporary / "out", in_layer_0("o_proj.weight")) +
                    stored_bytes(temporary / "out", in_layer_0("q_proj.weight")));
      const at::Tensor ids = random_ids(2, 17, spec.vocab_size, 3);
      for (const at::Device device : devices()) {
        const auto logits = [&](const char* folder) {
          return all_logits(load_folder(temporary / folder, at::kFloat, device), ids);
        };
        const double error = relative_error(logits("out"), logits("in"));
        EXPECT_LE(error, 1e-5) << device;
        worst = std::max(worst, error);
      }
    }
  }
  RecordProperty("max_relative_error", std::to_string(worst));
  std::printf("largest relative error of the logits: %.3g\n", worst);
}

// Two heads of two rows over two inputs; head 1 comes first:
//   k: E = [[1, -2], [2, 1]], rows (5 6), (7 8): (5 - 14, 6 - 16), (10 + 7, 12 + 8)
//   q: D^T with D = [[3, -1], [1, 3]], so D^T = [[3, 1], [-1, 3]]: (22, 26), (16, 18), then the gain 10
//   o: columns of a head times D^V = [[0, 5], [1, 0]]: new column 0 is old column 1, new column 1 is
//      5 times old column 0; the gain -1
TEST(GeneralForm, FoldsByHand) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{
      .n_layers = 1, .n_heads = 2, .n_kv_heads = 2, .head_dim = 2, .hidden_size = 2};
  const std::vector<double> rows = {1, 2, 3, 4, 5, 6, 7, 8};     // head 0: 1 2 / 3 4
  const std::vector<double> columns = {1, 2, 3, 4, 5, 6, 7, 8};  // row 0: head 0 has 1 2
  write_model_with(temporary / "in", spec,
                   {{in_layer_0("k_proj.weight"), rows},
                    {in_layer_0("v_proj.weight"), rows},
                    {in_layer_0("q_proj.weight"), rows},
                    {in_layer_0("o_proj.weight"), columns}});
  LayerTransform t = identity_transform(ModelFolder::open(temporary / "in").config());
  t.permutation = {1, 0};
  t.encode_key[0].dense = {1, -2, 2, 1};
  t.decode_key[0].dense = {3, -1, 1, 3};
  t.decode_value[0].dense = {0, 5, 1, 0};
  t.logit_gain[0] = 10;
  t.output_gain[0] = -1;
  convert_by({t}, temporary / "in", temporary / "out", 2);
  const auto out = [&](const char* name) {
    return stored_values(temporary / "out", in_layer_0(name));
  };
  using Values = std::vector<double>;
  EXPECT_EQ(out("k_proj.weight"), (Values{-9, -10, 17, 20, 1, 2, 3, 4}));
  EXPECT_EQ(out("v_proj.weight"), (Values{5, 6, 7, 8, 1, 2, 3, 4}));
  EXPECT_EQ(out("q_proj.weight"), (Values{220, 260, 160, 180, 1, 2, 3, 4}));
  EXPECT_EQ(out("o_proj.weight"), (Values{-4, -15, 1, 2, -8, -35, 5, 6}));
}

// The same with a bias: it turns as the rows do.
TEST(GeneralForm, BiasesTurnWithTheirRows) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 1,
                           .n_heads = 2,
                           .n_kv_heads = 2,
                           .head_dim = 2,
                           .hidden_size = 2,
                           .attention_bias = true};
  const std::vector<double> bias = {1, 2, 3, 4};
  write_model_with(temporary / "in", spec,
                   {{in_layer_0("k_proj.bias"), bias},
                    {in_layer_0("v_proj.bias"), bias},
                    {in_layer_0("q_proj.bias"), bias}});
  LayerTransform t = identity_transform(ModelFolder::open(temporary / "in").config());
  t.permutation = {1, 0};
  t.encode_key[0].dense = {1, -2, 2, 1};
  t.decode_key[0].dense = {3, -1, 1, 3};
  t.encode_value[1].scale = -2;
  t.logit_gain[0] = 10;
  convert_by({t}, temporary / "in", temporary / "out", 2);
  const auto out = [&](const char* name) {
    return stored_values(temporary / "out", in_layer_0(name));
  };
  using Values = std::vector<double>;
  EXPECT_EQ(out("k_proj.bias"), (Values{-5, 10, 1, 2}));   // [1 -2; 2 1] (3, 4) = (-5, 10)
  EXPECT_EQ(out("v_proj.bias"), (Values{3, 4, -2, -4}));   // head 1, then -2 times head 0
  EXPECT_EQ(out("q_proj.bias"), (Values{130, 90, 1, 2}));  // 10 [3 1; -1 3] (3, 4) = (130, 90)
  EXPECT_EQ(stored_bytes(temporary / "out", in_layer_0("o_proj.bias")),
            stored_bytes(temporary / "in", in_layer_0("o_proj.bias")));
}

// Weights of heads other than 1/m, and one that does not count: 0.25 a + 0.75 b, (c + 0 d) / 1.
TEST(GeneralForm, WeightedMerge) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 1, .head_dim = 2, .hidden_size = 1};
  write_model_with(temporary / "in", spec,
                   {{in_layer_0("k_proj.weight"), {4, 8, 12, 16, 1, 2, 100, 200}}});
  LayerTransform t = identity_transform(ModelFolder::open(temporary / "in").config());
  t.encode_key[0].scale = 0.25;
  t.encode_key[1].scale = 0.75;
  t.encode_key[3].scale = 0;
  convert_by({t}, temporary / "in", temporary / "out", 2);
  EXPECT_EQ(stored_values(temporary / "out", in_layer_0("k_proj.weight")),
            (std::vector<double>{10, 14, 1, 2}));
}

// A multiple of the identity gives the same bytes as a dense matrix and as a scale. The factors have
// few bits, so that no product or sum in float64 is rounded.
TEST(GeneralForm, DenseAndScalarAgree) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_heads = 8, .n_kv_heads = 4, .dtype = Dtype::kBF16};
  write_tiny_model(temporary / "in", spec);
  const auto transforms = [&](bool dense) {
    LayerTransform t = identity_transform(ModelFolder::open(temporary / "in").config());
    const auto set = [&](HeadMatrix& matrix, double scale) {
      if (!dense) {
        matrix.scale = scale;
        return;
      }
      matrix.dense.assign(64, 0.0);
      for (size_t i = 0; i < 8; ++i) matrix.dense[i * 9] = scale;
    };
    for (size_t head = 0; head < 4; ++head) {
      const double scale = 0.375 + static_cast<double>(head);
      set(t.encode_key[head], scale);
      set(t.encode_value[head], 2 * scale);
      set(t.decode_key[head], 3 * scale);
      set(t.decode_value[head], -scale);
    }
    t.divisor = 2;
    t.permutation = {2, 0, 3, 1};
    t.logit_gain[3] = 1.5;
    t.output_gain[5] = 0.5;
    return std::vector<LayerTransform>(2, t);
  };
  convert_by(transforms(false), temporary / "in", temporary / "scalar", 2);
  convert_by(transforms(true), temporary / "in", temporary / "dense", 2);
  EXPECT_TRUE(read_tree(temporary / "scalar") == read_tree(temporary / "dense"));
}

}  // namespace
}  // namespace regroup::testing
