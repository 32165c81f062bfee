// What a layer computes.
#include "regroup/model/layer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <cmath>

#include "heads.h"
#include "regroup/base/error.h"
#include "rope_rows.h"

namespace regroup {
namespace {

using at::Tensor;

/// Attention is computed for half-split rotary planes alone; the other columns of the family table are rules
/// for conversion, whose families come with their arithmetic.
void require_computable(const ModelConfig& config) {
  const AttentionTraits& a = config.attention;
  const bool plain = a.position == AttentionTraits::Position::kRotary &&
                     a.layout == AttentionTraits::Layout::kHalves && !a.sinks && !config.clip_qkv;
  if (plain) return;
  throw UnsupportedError(
      {.code = "CFG_UNSUPPORTED",
       .message = fmt::format("the attention of {} cannot be computed", config.architecture)});
}

/// x [..., heads * head_dim] normalised as the model's QkNorm says.
Tensor qk_normed(const Tensor& x, const NormWeights& weights, const ModelConfig& config) {
  if (config.attention.qk_norm == QkNorm::kWhole) return norm(x, weights, config.norm_eps);
  return norm(x.unflatten(-1, {-1, config.head_dim}), weights, config.norm_eps).flatten(-2);
}

}  // namespace

RopeTable make_rope_table(const ModelConfig& config, int64_t count, int64_t seq_len,
                          at::Device device) {
  return make_rope_rows(config, 0, count, seq_len, device);
}

RopeTable make_rope_rows(const ModelConfig& config, int64_t first, int64_t count, int64_t seq_len,
                         at::Device device) {
  require_computable(config);
  const c10::InferenceMode outlives_inference(false);  // training may save these for backward
  const auto frequencies =
      rope_frequencies(config.rope, config.rotary_dim, seq_len, config.max_positions);
  // transformers multiplies in float32, and so the angles of large positions are rounded there.
  const Tensor inverse = at::tensor(frequencies, at::kDouble).to(at::kFloat);  // [rotary_dim / 2]
  const Tensor angles =
      at::outer(at::arange(first, first + count, at::kFloat), inverse);  // [count, rotary_dim / 2]
  const double gain = config.rope.attention_factor;
  return {angles.cos().mul(gain).to(device), angles.sin().mul(gain).to(device)};
}

Heads project_heads(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                    const Tensor& y, const RopeTable& rope) {
  Tensor fused = project(y, weights.qkv, weights.qkv_bias);  // [batch, seq, (H + 2 G) d]
  if (weights.query_norm.weight.defined()) {
    const auto parts =
        fused.split_with_sizes({config.query_size(), config.kv_size(), config.kv_size()}, -1);
    fused = at::cat({qk_normed(parts[0], weights.query_norm, config),
                     qk_normed(parts[1], weights.key_norm, config), parts[2]},
                    -1);
  }
  // A table without columns turns nothing.
  const RopeTable turned =
      config.turns(layer) ? rope : RopeTable{rope.cos.narrow(1, 0, 0), rope.sin.narrow(1, 0, 0)};
  const auto [q, k, v] =
      split_rope(fused, turned, config.n_heads, config.n_kv_heads, config.head_dim);
  if (config.multipliers.attention == 0) return {q, k, v};
  // Attention divides scores by sqrt(head_dim).
  const double root = std::sqrt(static_cast<double>(config.head_dim));
  return {scaled(q, config.multipliers.attention * root), k, v};
}

int64_t window_of(const ModelConfig& config, int64_t layer) {
  const bool sliding = config.sliding_layers[static_cast<size_t>(layer)];
  return sliding ? config.sliding_window.value_or(0) : 0;
}

Tensor attention_heads(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                       const Tensor& y, const RopeTable& rope) {
  const Heads heads = project_heads(config, weights, layer, y, rope);
  return causal_attention(heads.q, heads.k, heads.v, window_of(config, layer));
}

Tensor scaled(const Tensor& x, double factor) { return factor == 1 ? x : x.mul(factor); }

Tensor embedded(const ModelConfig& config, const Tensor& rows) {
  const double factor = config.multipliers.embedding;
  if (factor == 1 || rows.scalar_type() == at::kDouble) return scaled(rows, factor);
  // As transformers does for Gemma: the constant is rounded to the type of the embedding.
  return rows.mul(at::full({}, factor, rows.options()));
}

Tensor attention_output(const ModelConfig& config, const LayerWeights& weights,
                        const Tensor& heads) {
  const Tensor out = project(heads, weights.output, weights.output_bias);
  return scaled(norm(out, weights.attention_norm, config.norm_eps), config.multipliers.residual);
}

Tensor mlp_output(const ModelConfig& config, const LayerWeights& weights, const Tensor& y) {
  const Tensor gate_up = project(y, weights.gate_up, weights.gate_up_bias);
  const bool gelu = config.family->block.activation == Activation::kGeluTanh;
  const Tensor out =
      project(gelu ? geglu(gate_up) : swiglu(gate_up), weights.down, weights.down_bias);
  return scaled(norm(out, weights.mlp_out_norm, config.norm_eps), config.multipliers.residual);
}

}  // namespace regroup
