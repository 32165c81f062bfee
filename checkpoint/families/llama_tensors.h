#pragma once

#include "families/tensor_rows.h"

namespace regroup::families {

// Llama's tensors, which many families share.
inline constexpr auto kLlamaTensors = joined(
    kEmbeddingRow, kInputNormRow, kAttentionRows, kOutputBiasRow,
    std::to_array<TensorRule>({
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    }),
    kGluRows,
    std::to_array<TensorRule>({
        {"model.layers.{}.mlp.gate_proj.bias",
         {kIntermediate, kNone},
         Role::kGateBias,
         Presence::kMlpBias},
        {"model.layers.{}.mlp.up_proj.bias",
         {kIntermediate, kNone},
         Role::kUpBias,
         Presence::kMlpBias},
        {"model.layers.{}.mlp.down_proj.bias",
         {kHidden, kNone},
         Role::kDownBias,
         Presence::kMlpBias},
    }),
    kFinalNormRow, kLmHeadRow);

}  // namespace regroup::families
