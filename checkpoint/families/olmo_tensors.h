#pragma once

#include "families/families.h"

namespace regroup::families {

using enum Dim;

// Tensors of OLMo 2 and 3.
inline constexpr auto kOlmoTensors = std::to_array<TensorRule>({
    {"model.embed_tokens.weight", {kVocab, kHidden}, Role::kEmbedding},
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
    {"model.layers.{}.self_attn.q_norm.weight", {kQuery, kNone}, Role::kQueryNorm},
    {"model.layers.{}.self_attn.k_norm.weight", {kKv, kNone}, Role::kKeyNorm},
    {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kAttentionNorm},
    {"model.layers.{}.mlp.gate_proj.weight", {kIntermediate, kHidden}, Role::kGate},
    {"model.layers.{}.mlp.up_proj.weight", {kIntermediate, kHidden}, Role::kUp},
    {"model.layers.{}.mlp.down_proj.weight", {kHidden, kIntermediate}, Role::kDown},
    {"model.layers.{}.post_feedforward_layernorm.weight", {kHidden, kNone}, Role::kMlpOutNorm},
    {"model.norm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

}  // namespace regroup::families
