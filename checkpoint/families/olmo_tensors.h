#pragma once

#include "families/tensor_rows.h"

namespace regroup::families {

// Tensors of OLMo 2 and 3.
inline constexpr auto kOlmoTensors = joined(
    kEmbeddingRow, kAttentionRows, kOutputBiasRow,
    std::to_array<TensorRule>({
        {"model.layers.{}.self_attn.q_norm.weight", {kQuery, kNone}, Role::kQueryNorm},
        {"model.layers.{}.self_attn.k_norm.weight", {kKv, kNone}, Role::kKeyNorm},
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kAttentionNorm},
    }),
    kGluRows,
    std::to_array<TensorRule>({
        {"model.layers.{}.post_feedforward_layernorm.weight", {kHidden, kNone}, Role::kMlpOutNorm},
    }),
    kFinalNormRow, kLmHeadRow);

}  // namespace regroup::families
