#include "regroup/model/layer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "heads.h"
#include "regroup/base/error.h"
#include "regroup/model/runtime.h"
#include "rope_rows.h"

namespace regroup {
namespace {

using at::Tensor;

/// Where a role's rows lie in a fused tensor.
struct Slice {
  Tensor tensor;
  int64_t first = 0;
  int64_t count = 0;
};

Slice slice_of(const LayerWeights& w, const ModelConfig& c, Role role) {
  const int64_t q = c.query_size();
  const int64_t kv = c.kv_size();
  const int64_t f = c.intermediate_size;
  const auto whole = [](const Tensor& t) { return t.defined() ? Slice{t, 0, t.size(0)} : Slice{}; };
  switch (role) {
    case Role::kInputNorm:
      return whole(w.input_norm.weight);
    case Role::kInputNormBias:
      return whole(w.input_norm.bias);
    case Role::kQuery:
      return {w.qkv, 0, q};
    case Role::kKey:
      return {w.qkv, q, kv};
    case Role::kValue:
      return {w.qkv, q + kv, kv};
    case Role::kOutput:
      return whole(w.output);
    case Role::kQueryBias:
      return {w.qkv_bias, 0, q};
    case Role::kKeyBias:
      return {w.qkv_bias, q, kv};
    case Role::kValueBias:
      return {w.qkv_bias, q + kv, kv};
    case Role::kOutputBias:
      return whole(w.output_bias);
    case Role::kMlpNorm:
      return whole(w.mlp_norm.weight);
    case Role::kMlpNormBias:
      return whole(w.mlp_norm.bias);
    case Role::kGate:
      return {w.gate_up, 0, f};
    case Role::kUp:
      return {w.gate_up, f, f};
    case Role::kDown:
      return whole(w.down);
    case Role::kGateBias:
      return {w.gate_up_bias, 0, f};
    case Role::kUpBias:
      return {w.gate_up_bias, f, f};
    case Role::kDownBias:
      return whole(w.down_bias);
    default:
      return {};
  }
}

/// Attention is computed for half-split rotary planes alone; the other columns of the family table are rules
/// for conversion, whose families come with their arithmetic.
void require_computable(const ModelConfig& config) {
  const AttentionTraits& a = config.attention;
  const bool plain = a.position == AttentionTraits::Position::kRotary &&
                     a.layout == AttentionTraits::Layout::kHalves && !a.qk_norm && !a.sinks &&
                     !config.clip_qkv;
  if (plain) return;
  throw UnsupportedError(
      {.code = "CFG_UNSUPPORTED",
       .message = fmt::format("the attention of {} cannot be computed", config.architecture)});
}

}  // namespace

std::array<Tensor*, 12> layer_tensors(LayerWeights& w) {
  return {&w.input_norm.weight,
          &w.input_norm.bias,
          &w.qkv,
          &w.qkv_bias,
          &w.output,
          &w.output_bias,
          &w.mlp_norm.weight,
          &w.mlp_norm.bias,
          &w.gate_up,
          &w.gate_up_bias,
          &w.down,
          &w.down_bias};
}

NormWeights allocate_norm(const ModelConfig& config, const at::TensorOptions& options) {
  NormWeights norm{at::empty({config.hidden_size}, options), {}};
  if (config.family->norm == Norm::kLayer) norm.bias = at::empty({config.hidden_size}, options);
  return norm;
}

LayerWeights allocate_layer(const ModelConfig& config, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto make = [&](std::vector<int64_t> shape) { return at::empty(shape, options); };
  const int64_t hidden = config.hidden_size;
  const int64_t fused = config.query_size() + 2 * config.kv_size();
  const int64_t inner = config.intermediate_size;
  LayerWeights w;
  w.input_norm = allocate_norm(config, options);
  w.qkv = make({fused, hidden});
  w.output = make({hidden, config.query_size()});
  w.mlp_norm = allocate_norm(config, options);
  w.gate_up = make({2 * inner, hidden});
  w.down = make({hidden, inner});
  if (config.qkv_bias) w.qkv_bias = make({fused});
  if (config.output_bias) w.output_bias = make({hidden});
  if (config.mlp_bias) {
    w.gate_up_bias = make({2 * inner});
    w.down_bias = make({hidden});
  }
  return w;
}

Tensor layer_view(const LayerWeights& weights, const ModelConfig& config, Role role) {
  const Slice slice = slice_of(weights, config, role);
  if (!slice.tensor.defined()) return {};
  // detach: a view for copying in and out, not a part of a graph.
  return slice.tensor.detach().narrow(0, slice.first, slice.count);
}

void load_weight(const ModelFolder& folder, const std::string& name, const Tensor& into) {
  const TensorInfo& info = *folder.locate(name).info;
  const Tensor stored =
      at::empty(info.shape, at::TensorOptions().dtype(to_scalar_type(info.dtype)));
  const std::span bytes(static_cast<std::byte*>(stored.data_ptr()), stored.nbytes());
  folder.read(name, 0, bytes);
  int64_t first = 0;
  const int64_t bad = count_nonfinite(info.dtype, bytes, &first);
  if (bad > 0) {
    throw CheckpointError(
        {.code = "VAL_NONFINITE",
         .message = fmt::format("weights must be finite, found {} NaN or infinite values, the "
                                "first at element {}",
                                bad, first),
         .path = folder.path(),
         .tensor = name,
         .hint = "the checkpoint is damaged; fetch or make it again"});
  }
  into.copy_(stored);
  if (info.dtype != Dtype::kF64 || into.isfinite().all().item<bool>()) return;
  throw CheckpointError({.code = "VAL_OVERFLOW",
                         .message = "F64 weights must fit F32, found one that is too large",
                         .path = folder.path(),
                         .tensor = name,
                         .hint = "the checkpoint is damaged; fetch or make it again"});
}

LayerWeights load_layer(const ModelFolder& folder, int64_t layer, at::ScalarType dtype,
                        at::Device device) {
  LayerWeights weights = allocate_layer(folder.config(), dtype, device);
  for (const ExpectedTensor& tensor : folder.tensors()) {
    if (tensor.layer != layer) continue;
    load_weight(folder, tensor.name, layer_view(weights, folder.config(), tensor.rule->role));
  }
  return weights;
}

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

Heads project_heads(const ModelConfig& config, const LayerWeights& weights, const Tensor& y,
                    const RopeTable& rope) {
  const Tensor fused = project(y, weights.qkv, weights.qkv_bias);  // [batch, seq, (H + 2 G) d]
  const auto [q, k, v] =
      split_rope(fused, rope, config.n_heads, config.n_kv_heads, config.head_dim);
  return {q, k, v};
}

int64_t window_of(const ModelConfig& config, int64_t layer) {
  const bool sliding = config.sliding_layers[static_cast<size_t>(layer)];
  return sliding ? config.sliding_window.value_or(0) : 0;
}

Tensor attention_heads(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                       const Tensor& y, const RopeTable& rope) {
  const Heads heads = project_heads(config, weights, y, rope);
  return causal_attention(heads.q, heads.k, heads.v, window_of(config, layer));
}

Tensor mlp_output(const LayerWeights& weights, const Tensor& y) {
  const Tensor inner = swiglu(project(y, weights.gate_up, weights.gate_up_bias));
  return project(inner, weights.down, weights.down_bias);
}

}  // namespace regroup
