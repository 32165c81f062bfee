#pragma once

#include "families/llama_tensors.h"

namespace regroup::families {

// Gemma's tensors since its second release: norms of what attention and MLP read, and of what they add.
inline constexpr auto kGemmaTensors = std::to_array<TensorRule>({
    {"model.embed_tokens.weight", {kVocab, kHidden}, Role::kEmbedding},
    {"model.layers.{}.input_layernorm.weight", {kHidden, kNone}, Role::kInputNorm},
    {"model.layers.{}.self_attn.q_proj.weight", {kQuery, kHidden}, Role::kQuery},
    {"model.layers.{}.self_attn.k_proj.weight", {kKv, kHidden}, Role::kKey},
    {"model.layers.{}.self_attn.v_proj.weight", {kKv, kHidden}, Role::kValue},
    {"model.layers.{}.self_attn.o_proj.weight", {kHidden, kQuery}, Role::kOutput},
    {"model.layers.{}.self_attn.q_proj.bias",
     {kQuery, kNone},
     Role::kQueryBias,
     Presence::kQkvBias},
    {"model.layers.{}.self_attn.k_proj.bias", {kKv, kNone}, Role::kKeyBias, Presence::kQkvBias},
    {"model.layers.{}.self_attn.v_proj.bias", {kKv, kNone}, Role::kValueBias, Presence::kQkvBias},
    {"model.layers.{}.self_attn.o_proj.bias",
     {kHidden, kNone},
     Role::kOutputBias,
     Presence::kOutputBias},
    {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kAttentionNorm},
    {"model.layers.{}.pre_feedforward_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    {"model.layers.{}.mlp.gate_proj.weight", {kIntermediate, kHidden}, Role::kGate},
    {"model.layers.{}.mlp.up_proj.weight", {kIntermediate, kHidden}, Role::kUp},
    {"model.layers.{}.mlp.down_proj.weight", {kHidden, kIntermediate}, Role::kDown},
    {"model.layers.{}.post_feedforward_layernorm.weight", {kHidden, kNone}, Role::kMlpOutNorm},
    {"model.norm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

inline constexpr auto kGemmaActivations = std::to_array<ActivationName>({
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
});

inline constexpr auto kGemmaRefused = std::to_array<RefusedKey>({
    {"use_bidirectional_attention", "tokens see those behind them"},
});

}  // namespace regroup::families
