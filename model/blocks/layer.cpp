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

#include "capped_attention.h"
#include "heads.h"
#include "mlp.h"
#include "regroup/base/error.h"
#include "rope_rows.h"

namespace regroup {
namespace {

using at::Tensor;

/// Attention is computed for rotary positions alone; the other columns of the family table are rules for conversion,
/// whose families come with their arithmetic.
void require_computable(const ModelConfig& config) {
  const AttentionTraits& a = config.attention;
  if (a.position == AttentionTraits::Position::kRotary && !a.sinks) return;
  throw UnsupportedError(
      {.code = "CFG_UNSUPPORTED",
       .message = fmt::format("the attention of {} cannot be computed", config.architecture)});
}

/// x [..., heads * head_dim] normalised as the model's QkNorm says.
Tensor qk_normed(const Tensor& x, const NormWeights& weights, const ModelConfig& config) {
  const QkNorm kind = config.attention.qk_norm;
  if (kind == QkNorm::kWhole) return norm(x, weights, config.norm_eps);
  const Tensor heads = x.unflatten(-1, {-1, config.head_dim});
  if (kind == QkNorm::kHead) return norm(heads, weights, config.norm_eps).flatten(-2);
  // Gains of single heads: in float32, rounded once.
  const Tensor wide = heads.scalar_type() == at::kDouble ? heads : heads.to(at::kFloat);
  const NormWeights bare{.weight = {}, .bias = {}, .kind = Norm::kLayerBare};
  const Tensor normed = norm(wide, bare, config.norm_eps).flatten(-2);
  return normed.mul(weights.gains()).to(x.scalar_type());
}

/// fused [batch, seq, (H + 2 G) d], its queries and keys from neighbouring to half-split planes: the same scores.
Tensor with_half_planes(const Tensor& fused, const ModelConfig& config) {
  const int64_t heads = config.n_heads + config.n_kv_heads;
  const int64_t turned = config.rotary_dim;
  const Tensor rows =
      fused.narrow(-1, 0, heads * config.head_dim).unflatten(-1, {heads, config.head_dim});
  const Tensor halves =
      rows.narrow(-1, 0, turned).unflatten(-1, {turned / 2, 2}).transpose(-1, -2).flatten(-2);
  const Tensor rest = rows.narrow(-1, turned, config.head_dim - turned);
  const Tensor values = fused.narrow(-1, heads * config.head_dim, config.kv_size());
  return at::cat({at::cat({halves, rest}, -1).flatten(-2), values}, -1);
}

/// The rows of one kind of layers.
RopeTable rope_rows(const ModelConfig& config, const RopeConfig& rope, int64_t first, int64_t count,
                    int64_t seq_len, at::Device device) {
  const auto frequencies = rope_frequencies(rope, config.rotary_dim, seq_len, config.max_positions);
  // transformers multiplies in float32, and so the angles of large positions are rounded there.
  const Tensor inverse = at::tensor(frequencies, at::kDouble).to(at::kFloat);  // [rotary_dim / 2]
  const Tensor angles =
      at::outer(at::arange(first, first + count, at::kFloat), inverse);  // [count, rotary_dim / 2]
  const double gain = rope.attention_factor;
  return {angles.cos().mul(gain).to(device), angles.sin().mul(gain).to(device)};
}

}  // namespace

RopeTables make_rope_tables(const ModelConfig& config, int64_t count, int64_t seq_len,
                            at::Device device) {
  return make_rope_rows(config, 0, count, seq_len, device);
}

RopeTables make_rope_rows(const ModelConfig& config, int64_t first, int64_t count, int64_t seq_len,
                          at::Device device) {
  require_computable(config);
  const c10::InferenceMode outlives_inference(false);  // training may save these for backward
  const RopeTable full = rope_rows(config, config.rope, first, count, seq_len, device);
  if (!config.sliding_rope) return {full, full};
  return {full, rope_rows(config, *config.sliding_rope, first, count, seq_len, device)};
}

Heads project_heads(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                    const Tensor& y, const RopeTables& tables) {
  Tensor fused = project(y, weights.qkv, weights.qkv_bias);  // [batch, seq, (H + 2 G) d]
  if (weights.query_norm.weight.defined()) {
    const auto parts =
        fused.split_with_sizes({config.query_size(), config.kv_size(), config.kv_size()}, -1);
    fused = at::cat({qk_normed(parts[0], weights.query_norm, config),
                     qk_normed(parts[1], weights.key_norm, config), parts[2]},
                    -1);
  }
  if (config.clip_qkv) fused = fused.clamp(-*config.clip_qkv, *config.clip_qkv);
  const RopeTable& rope = tables.of(config, layer);
  const bool neighbours = config.attention.layout == AttentionTraits::Layout::kNeighbours;
  if (neighbours && config.turns(layer)) fused = with_half_planes(fused, config);
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
  return config.slides(layer) ? config.sliding_window.value_or(0) : 0;
}

Tensor attention_heads(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                       const Tensor& y, const RopeTables& rope) {
  const auto [q, k, v] = project_heads(config, weights, layer, y, rope);
  return attend_all(config, layer, q, k, v);
}

Tensor attend_all(const ModelConfig& config, int64_t layer, const Tensor& q, const Tensor& k,
                  const Tensor& v) {
  const int64_t window = window_of(config, layer);
  if (config.caps.scores > 0) return capped_attention(q, k, v, window, config.caps.scores);
  return causal_attention(q, k, v, window);
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
  const Tensor out = weights.router.defined() ? experts_output(config, weights, y)
                                              : one_mlp(config, y,
                                                        {.gate_up = weights.gate_up,
                                                         .gate_up_bias = weights.gate_up_bias,
                                                         .down = weights.down,
                                                         .down_bias = weights.down_bias});
  return scaled(norm(out, weights.mlp_out_norm, config.norm_eps), config.multipliers.residual);
}

Tensor mlp_input(const ModelConfig& config, const LayerWeights& weights, const Tensor& x,
                 const Tensor& y) {
  return config.own_mlp_norm ? norm(x, weights.mlp_norm, config.norm_eps) : y;
}

Tensor beside_attention(const ModelConfig& config, const LayerWeights& weights, const Tensor& x,
                        const Tensor& y) {
  if (!config.parallel) return x;
  return x.add(mlp_output(config, weights, mlp_input(config, weights, x, y)));
}

Tensor after_attention(const ModelConfig& config, const LayerWeights& weights, const Tensor& past) {
  if (config.parallel) return past;
  const Tensor y = norm(past, weights.mlp_norm, config.norm_eps);
  return past.add(mlp_output(config, weights, y));
}

}  // namespace regroup
