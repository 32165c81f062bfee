#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/model/ops.h"

namespace regroup {

/// Weights of one layer. Projections that read the same input are one tensor, one GEMM.
struct LayerWeights {
  NormWeights input_norm;
  at::Tensor qkv;              ///< [(n_heads + 2 n_kv_heads) head_dim, hidden]: q, k, v
  at::Tensor qkv_bias;         ///< [(n_heads + 2 n_kv_heads) head_dim] or undefined
  NormWeights query_norm;      ///< [head_dim], [n_heads head_dim] (QkNorm) or undefined
  NormWeights key_norm;        ///< [head_dim], [n_kv_heads head_dim] or undefined
  at::Tensor output;           ///< [hidden, n_heads head_dim]
  at::Tensor output_bias;      ///< [hidden] or undefined
  NormWeights attention_norm;  ///< of what attention adds, or undefined
  NormWeights mlp_norm;        ///< none in a parallel block whose MLP reads what attention reads
  at::Tensor gate_up;          ///< [2 intermediate, hidden]: gate, up; without a gate up alone
  at::Tensor gate_up_bias;     ///< as its rows, or undefined
  at::Tensor down;             ///< [hidden, intermediate]
  at::Tensor down_bias;        ///< [hidden] or undefined
  // In a layer with experts, in place of the four above.
  at::Tensor router;          ///< [experts, hidden]
  at::Tensor expert_gate_up;  ///< [experts, 2 width, hidden]
  at::Tensor expert_down;     ///< [experts, hidden, width]
  at::Tensor shared_gate_up;  ///< of the expert that every token goes through, or undefined
  at::Tensor shared_down;
  at::Tensor shared_router;  ///< [1, hidden] or undefined
  NormWeights mlp_out_norm;  ///< of what the MLP adds, or undefined
};

/// Every tensor of a layer, in an order of its own; some may be undefined.
std::array<at::Tensor*, 24> layer_tensors(LayerWeights& weights);

/// Uninitialised norm of the residual stream, of `config`'s kind.
NormWeights allocate_norm(const ModelConfig& config, const at::TensorOptions& options);

/// Uninitialised weights of a layer of `config`.
LayerWeights allocate_layer(const ModelConfig& config, int64_t layer, at::ScalarType dtype,
                            at::Device device);

/// The rows of a layer's tensor that stand for `role`: a view, detached. Undefined when absent.
at::Tensor layer_view(const LayerWeights& weights, const ModelConfig& config, Role role);
/// The same for a tensor of the files, in its shape: of a role that has one tensor a head or an expert, that one's rows.
at::Tensor tensor_view(const LayerWeights& weights, const ModelConfig& config,
                       const ExpectedTensor& tensor);

/// A tensor of several roles, from the order of its rows in the files (`parts`) to one role below the other.
/// @param stored  [rows, ...]
at::Tensor in_blocks(const at::Tensor& stored, const std::vector<PartRows>& parts);
/// The inverse of in_blocks().
at::Tensor as_stored(const at::Tensor& blocks, const std::vector<PartRows>& parts);

/// Reads one layer of a checked folder.
/// @throws CheckpointError VAL_NONFINITE naming the tensor
LayerWeights load_layer(const ModelFolder& folder, int64_t layer, at::ScalarType dtype,
                        at::Device device);

/// Reads one tensor of a checked folder into `into`, which may have another dtype or device.
/// @param parts  those of the tensor, where it has several roles: `into` holds one below the other
/// @throws CheckpointError VAL_NONFINITE naming the tensor
void load_weight(const ModelFolder& folder, const std::string& name, const at::Tensor& into,
                 const std::vector<PartRows>& parts = {});

/// Angles of the same positions in layers without and with a window.
struct RopeTables {
  RopeTable full;
  RopeTable sliding;

  const RopeTable& of(const ModelConfig& config, int64_t layer) const {
    return config.slides(layer) ? sliding : full;
  }
};

/// Angles of positions [0, count).
/// @param seq_len  of the whole sequence, which dynamic scaling depends on
RopeTables make_rope_tables(const ModelConfig& config, int64_t count, int64_t seq_len,
                            at::Device device);

/// Attention of whole sequences before the output projection.
/// @param y  the normed residual stream, [batch, seq, hidden]
/// @return   the heads' outputs side by side, [batch, seq, n_heads * head_dim]
at::Tensor attention_heads(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                           const at::Tensor& y, const RopeTables& rope);

/// What attention adds to the residual stream. heads [..., n_heads * head_dim]: attention_heads().
at::Tensor attention_output(const ModelConfig& config, const LayerWeights& weights,
                            const at::Tensor& heads);

/// What the MLP adds to the residual stream. y [..., hidden] is normed.
at::Tensor mlp_output(const ModelConfig& config, const LayerWeights& weights, const at::Tensor& y);

/// What the MLP of a parallel block reads: its own norm of x, or what attention reads.
/// @param x, y  the residual stream before the layer and as attention reads it, [..., hidden]
at::Tensor mlp_input(const ModelConfig& config, const LayerWeights& weights, const at::Tensor& x,
                     const at::Tensor& y);

/// The residual stream past a layer, but for what its attention and, behind that, its MLP add: x, in a parallel block
/// with what the MLP adds.
/// @param x, y  the residual stream before the layer and as attention reads it, [..., hidden]
at::Tensor beside_attention(const ModelConfig& config, const LayerWeights& weights,
                            const at::Tensor& x, const at::Tensor& y);
/// The residual stream past a layer from that past its attention: beside_attention() and attention_output().
at::Tensor after_attention(const ModelConfig& config, const LayerWeights& weights,
                           const at::Tensor& past);

/// x times a constant that most models do not have.
at::Tensor scaled(const at::Tensor& x, double factor);

/// What tokens become: rows of the embedding, in its type, times the model's constant.
/// @param rows  [..., hidden]
at::Tensor embedded(const ModelConfig& config, const at::Tensor& rows);

}  // namespace regroup
