// The weights of a layer: which tensor has which role, their memory, and how they are read.
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <span>

#include "regroup/base/error.h"
#include "regroup/model/layer.h"
#include "regroup/model/runtime.h"

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
  const int64_t up = c.family->block.gated ? f : 0;
  const int64_t shared = c.experts.shared_intermediate_size;
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
    case Role::kQkv:
      return whole(w.qkv);
    case Role::kQkvBias:
      return whole(w.qkv_bias);
    case Role::kQueryNorm:
      return whole(w.query_norm.weight);
    case Role::kKeyNorm:
      return whole(w.key_norm.weight);
    case Role::kAttentionNorm:
      return whole(w.attention_norm.weight);
    case Role::kMlpOutNorm:
      return whole(w.mlp_out_norm.weight);
    case Role::kGateUp:
      return whole(w.gate_up);
    case Role::kGate:
      return {w.gate_up, 0, f};
    case Role::kUp:
      return {w.gate_up, up, f};
    case Role::kDown:
      return whole(w.down);
    case Role::kGateBias:
      return {w.gate_up_bias, 0, f};
    case Role::kUpBias:
      return {w.gate_up_bias, up, f};
    case Role::kDownBias:
      return whole(w.down_bias);
    case Role::kRouter:
      return whole(w.router);
    case Role::kSharedGate:
      return {w.shared_gate_up, 0, shared};
    case Role::kSharedUp:
      return {w.shared_gate_up, shared, shared};
    case Role::kSharedDown:
      return whole(w.shared_down);
    case Role::kSharedRouter:
      return whole(w.shared_router);
    default:
      return {};
  }
}

/// Gains of queries (`all` = query_size) or keys (kv_size); undefined where neither is normalised.
NormWeights allocate_qk_norm(const ModelConfig& config, int64_t all,
                             const at::TensorOptions& options) {
  const AttentionTraits& attention = config.attention;
  if (!attention.normalises_keys()) return {};
  const bool layer = attention.qk_norm == QkNorm::kLayer;
  return {.weight = at::empty({attention.has_gains_of_heads() ? all : config.head_dim}, options),
          .bias = {},
          .kind = layer ? Norm::kLayerScale : config.family->block.norm};
}

}  // namespace

std::array<Tensor*, 24> layer_tensors(LayerWeights& w) {
  return {&w.input_norm.weight,
          &w.input_norm.bias,
          &w.qkv,
          &w.qkv_bias,
          &w.query_norm.weight,
          &w.key_norm.weight,
          &w.output,
          &w.output_bias,
          &w.attention_norm.weight,
          &w.attention_norm.bias,
          &w.mlp_norm.weight,
          &w.mlp_norm.bias,
          &w.gate_up,
          &w.gate_up_bias,
          &w.down,
          &w.down_bias,
          &w.router,
          &w.expert_gate_up,
          &w.expert_down,
          &w.shared_gate_up,
          &w.shared_down,
          &w.shared_router,
          &w.mlp_out_norm.weight,
          &w.mlp_out_norm.bias};
}

NormWeights allocate_norm(const ModelConfig& config, const at::TensorOptions& options) {
  const Norm kind = config.family->block.norm;
  NormWeights norm{.weight = {}, .bias = {}, .kind = kind};
  if (kind != Norm::kLayerBare) norm.weight = at::empty({config.hidden_size}, options);
  if (kind == Norm::kLayer) norm.bias = at::empty({config.hidden_size}, options);
  return norm;
}

namespace {

void allocate_mlp(const ModelConfig& config, const at::TensorOptions& options, LayerWeights& w) {
  const int64_t hidden = config.hidden_size;
  const int64_t inner = config.intermediate_size;
  const int64_t gate_up = config.family->block.gated ? 2 * inner : inner;
  w.gate_up = at::empty({gate_up, hidden}, options);
  w.down = at::empty({hidden, inner}, options);
  if (!config.mlp_bias) return;
  w.gate_up_bias = at::empty({gate_up}, options);
  w.down_bias = at::empty({hidden}, options);
}

void allocate_experts(const ModelConfig& config, const at::TensorOptions& options,
                      LayerWeights& w) {
  const int64_t hidden = config.hidden_size;
  const Experts& experts = config.experts;
  const int64_t inner = experts.intermediate_size;
  const int64_t shared = experts.shared_intermediate_size;
  w.router = at::empty({experts.count, hidden}, options);
  w.expert_gate_up = at::empty({experts.count, 2 * inner, hidden}, options);
  w.expert_down = at::empty({experts.count, hidden, inner}, options);
  if (shared == 0) return;
  w.shared_gate_up = at::empty({2 * shared, hidden}, options);
  w.shared_down = at::empty({hidden, shared}, options);
  if (experts.shared_is_gated) w.shared_router = at::empty({1, hidden}, options);
}

}  // namespace

LayerWeights allocate_layer(const ModelConfig& config, int64_t layer, at::ScalarType dtype,
                            at::Device device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto make = [&](std::vector<int64_t> shape) { return at::empty(shape, options); };
  const int64_t hidden = config.hidden_size;
  const int64_t fused = config.query_size() + 2 * config.kv_size();
  LayerWeights w;
  const BlockSpec& block = config.family->block;
  if (block.place != NormPlace::kAfter) {
    w.input_norm = allocate_norm(config, options);
    if (config.own_mlp_norm) w.mlp_norm = allocate_norm(config, options);
  }
  if (block.place != NormPlace::kBefore) {
    w.attention_norm = allocate_norm(config, options);
    w.mlp_out_norm = allocate_norm(config, options);
  }
  w.query_norm = allocate_qk_norm(config, config.query_size(), options);
  w.key_norm = allocate_qk_norm(config, config.kv_size(), options);
  w.qkv = make({fused, hidden});
  w.output = make({hidden, config.query_size()});
  if (config.qkv_bias) w.qkv_bias = make({fused});
  if (config.output_bias) w.output_bias = make({hidden});
  config.has_experts(layer) ? allocate_experts(config, options, w)
                            : allocate_mlp(config, options, w);
  return w;
}

Tensor layer_view(const LayerWeights& weights, const ModelConfig& config, Role role) {
  const Slice slice = slice_of(weights, config, role);
  if (!slice.tensor.defined()) return {};
  // detach: a view for copying in and out, not a part of a graph.
  return slice.tensor.detach().narrow(0, slice.first, slice.count);
}

namespace {

/// A matrix of an expert. [rows, columns]
Tensor expert_view(const LayerWeights& weights, const ModelConfig& config,
                   const ExpectedTensor& tensor) {
  const int64_t width = config.experts.intermediate_size;
  const Role role = tensor.rule->role;
  if (role == Role::kExpertDown) return weights.expert_down.detach().select(0, tensor.part);
  return weights.expert_gate_up.detach()
      .select(0, tensor.part)
      .narrow(0, role == Role::kExpertUp ? width : 0, width);
}

}  // namespace

Tensor tensor_view(const LayerWeights& weights, const ModelConfig& config,
                   const ExpectedTensor& tensor) {
  if (tensor.rule->each == Dim::kExperts) return expert_view(weights, config, tensor);
  const Tensor role = layer_view(weights, config, tensor.rule->role);
  if (tensor.part >= 0) return role.narrow(0, tensor.part * config.head_dim, config.head_dim);
  return role.view(tensor.shape);  // [heads head_dim] may be stored as [heads, head_dim]
}

Tensor in_blocks(const Tensor& stored, const std::vector<PartRows>& parts) {
  if (parts.size() < 2 || parts.front().n_runs() == 1) return stored;
  const Tensor runs = stored.unflatten(0, {parts.front().n_runs(), parts.front().stride});
  std::vector<Tensor> blocks;
  for (const PartRows& part : parts) {
    blocks.push_back(runs.narrow(1, part.first, part.run).flatten(0, 1));
  }
  return at::cat(blocks);
}

Tensor as_stored(const Tensor& blocks, const std::vector<PartRows>& parts) {
  if (parts.size() < 2 || parts.front().n_runs() == 1) return blocks;
  std::vector<Tensor> runs;
  int64_t first = 0;
  for (const PartRows& part : parts) {
    runs.push_back(blocks.narrow(0, first, part.count).unflatten(0, {part.n_runs(), part.run}));
    first += part.count;
  }
  return at::cat(runs, 1).flatten(0, 1);
}

void load_weight(const ModelFolder& folder, const std::string& name, const Tensor& into,
                 const std::vector<PartRows>& parts) {
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
  into.copy_(in_blocks(stored, parts));
  if (info.dtype != Dtype::kF64 || into.isfinite().all().item<bool>()) return;
  throw CheckpointError({.code = "VAL_OVERFLOW",
                         .message = "F64 weights must fit F32, found one that is too large",
                         .path = folder.path(),
                         .tensor = name,
                         .hint = "the checkpoint is damaged; fetch or make it again"});
}

LayerWeights load_layer(const ModelFolder& folder, int64_t layer, at::ScalarType dtype,
                        at::Device device) {
  LayerWeights weights = allocate_layer(folder.config(), layer, dtype, device);
  for (const ExpectedTensor& tensor : folder.tensors()) {
    if (tensor.layer != layer) continue;
    load_weight(folder, tensor.name, tensor_view(weights, folder.config(), tensor),
                parts_of(*tensor.rule, folder.config()));
  }
  return weights;
}

}  // namespace regroup
