// The file holds what the decision says: every method's fold in memory against the written tensors.
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "attention_fold.h"
#include "calibrated_layer.h"
#include "convert/convert_tools.h"
#include "layer_method.h"
#include "model/decoder_tools.h"
#include "regroup/calibration/calibrate.h"

namespace regroup::testing {
namespace {

// Moments are of what the model computes: a head's rows on (x, 1) are its projection, bias included.
TEST(WidenedWeights, ProjectAsTheModelDoes) {
  const TinyModelSpec spec{.n_heads = 12, .n_kv_heads = 6, .head_dim = 6, .attention_bias = true};
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", spec);
  const ModelFolder model = ModelFolder::open(temporary / "in");
  const LayerWeights w = load_layer(model, 1, at::kFloat, at::kCPU);
  ASSERT_GT(w.qkv_bias.abs().max().item<double>(), 0.1);
  const at::Tensor x = random_tensor({9, spec.hidden_size}, 1);
  const at::Tensor with_one = at::cat({x.to(at::kDouble), at::ones({9, 1}, at::kDouble)}, 1);
  const at::Tensor wanted = project(x, w.qkv, w.qkv_bias).unflatten(1, {-1, spec.head_dim});
  const AttentionWeights wide = widen_attention(w, model.config());
  const at::Tensor found = at::matmul(with_one, at::cat({wide.q, wide.k, wide.v}).transpose(1, 2));
  EXPECT_LE(relative_error(found.transpose(0, 1), wanted), 1e-6);  // [tokens, heads, head_dim]
}

/// The formulas of LayerTransform in whole tensors, beside Fold's head by head.
AttentionWeights by_formula(const AttentionWeights& w, const LayerTransform& t,
                            const ModelConfig& parent, int64_t n_kv_heads) {
  const int64_t size = parent.n_kv_heads / n_kv_heads;
  const auto merged = [&](const at::Tensor& heads, const std::vector<HeadMatrix>& encode) {
    at::Tensor sums = at::zeros_like(heads.narrow(0, 0, n_kv_heads));
    for (int64_t i = 0; i < parent.n_kv_heads; ++i) {
      const auto at = static_cast<size_t>(i);
      sums[i / size].add_(
          at::matmul(matrix_of(encode[at], parent.head_dim), heads[t.permutation[at]]));
    }
    return sums.div(t.divisor);
  };
  AttentionWeights out;
  out.k = merged(w.k, t.encode_key);
  out.v = merged(w.v, t.encode_value);
  out.q = at::empty_like(w.q);
  out.o = at::empty_like(w.o);
  for (int64_t h = 0; h < parent.n_heads; ++h) {
    const auto at = static_cast<size_t>(h);
    const auto kv = static_cast<size_t>(h / parent.group_size());
    const int64_t old = t.permutation[kv] * parent.group_size() + h % parent.group_size();
    const auto matrix = [&](const HeadMatrix& m) { return matrix_of(m, parent.head_dim); };
    out.q[h] = at::matmul(matrix(t.decode_key[kv]).t(), w.q[old]).mul(t.logit_gain[at]);
    out.o[h] = at::matmul(w.o[old], matrix(t.decode_value[kv])).mul(t.output_gain[at]);
  }
  return out;
}

TEST(ExportedWeights, AreTheFoldOfTheDecision) {
  for (const TinyModelSpec& spec :
       {TinyModelSpec{.n_heads = 12, .n_kv_heads = 12, .head_dim = 10, .hidden_size = 96},
        TinyModelSpec{.n_heads = 12, .n_kv_heads = 6, .head_dim = 6, .attention_bias = true}}) {
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in", spec);
    const ModelFolder parent = ModelFolder::open(temporary / "in");
    for (const std::string& name : method_names()) {
      const Method method = parse_method(name);
      if (method == Method::kRandom) continue;  // drawn while it is written (merge_test)
      for (const Grouping grouping : {Grouping::kContiguous, Grouping::kResidual}) {
        if (grouping != Grouping::kContiguous && !may_regroup(method)) continue;
        SCOPED_TRACE(name + ", " + grouping_name(grouping));
        const std::string out = temporary / (name + "-" + grouping_name(grouping));
        const ConvertOptions options{.model = temporary / "in",
                                     .out = out,
                                     .n_kv_heads = 3,
                                     .method = method,
                                     .grouping = grouping};
        const ConversionPlan plan = plan_and_convert(parent, options, {}).first;
        const ModelFolder child = ModelFolder::open(out);
        EXPECT_EQ(child.config().n_kv_heads, 3);
        EXPECT_EQ(child.config().n_heads, 12);
        for (int64_t layer = 0; layer < 2; ++layer) {
          const auto attention = [layer](const ModelFolder& folder) {
            return widen_attention(load_layer(folder, layer, at::kFloat, at::kCPU),
                                   folder.config());
          };
          const LayerTransform& transform = plan.transforms[static_cast<size_t>(layer)];
          const AttentionWeights wanted =
              by_formula(attention(parent), transform, parent.config(), 3);
          for (const AttentionWeights& found :
               {attention(child),
                fold_attention(attention(parent), transform, parent.config(), 3)}) {
            EXPECT_EQ(found.k.sizes(), wanted.k.sizes());
            EXPECT_LE(relative_error(found.q, wanted.q), 1e-7);
            EXPECT_LE(relative_error(found.k, wanted.k), 1e-7);
            EXPECT_LE(relative_error(found.v, wanted.v), 1e-7);
            EXPECT_LE(relative_error(found.o, wanted.o), 1e-7);
          }
        }
      }
    }
  }
}

// What a conversion rounds is its own: the parent may go on teaching.
TEST(WithAttention, SharesNoGainsOfQkNorm) {
  for (const char* family : {"qwen3", "olmo2", "cohere"}) {
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in",
                     {.model_type = family, .extra_config = {{"use_qk_norm", true}}});
    const ModelFolder model = ModelFolder::open(temporary / "in");
    const LayerWeights parent = load_layer(model, 0, at::kFloat, at::kCPU);
    const LayerWeights own =
        with_attention(parent, widen_attention(parent, model.config()), model.config());
    EXPECT_TRUE(own.query_norm.weight.equal(parent.query_norm.weight)) << family;
    EXPECT_FALSE(own.query_norm.weight.is_alias_of(parent.query_norm.weight)) << family;
    EXPECT_FALSE(own.key_norm.weight.is_alias_of(parent.key_norm.weight)) << family;
  }
}

}  // namespace
}  // namespace regroup::testing
