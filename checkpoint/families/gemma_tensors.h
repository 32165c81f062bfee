#pragma once

#include "families/tensor_rows.h"

namespace regroup::families {

// Gemma's tensors since its second release: norms of what attention and MLP read, and of what they add.
inline constexpr auto kGemmaTensors = joined(
    kEmbeddingRow, kInputNormRow, kAttentionRows, kOutputBiasRow,
    std::to_array<TensorRule>({
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kAttentionNorm},
        {"model.layers.{}.pre_feedforward_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    }),
    kGluRows,
    std::to_array<TensorRule>({
        {"model.layers.{}.post_feedforward_layernorm.weight", {kHidden, kNone}, Role::kMlpOutNorm},
    }),
    kFinalNormRow, kLmHeadRow);

inline constexpr auto kGemmaActivations = std::to_array<ActivationName>({
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
});

inline constexpr auto kGemmaRefused = std::to_array<RefusedKey>({
    {"use_bidirectional_attention", "tokens see those behind them"},
});

}  // namespace regroup::families
