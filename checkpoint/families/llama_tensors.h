#pragma once

#include "families/families.h"

namespace regroup::families {

using enum Dim;

// Llama's tensors, which many families share.
inline constexpr auto kLlamaTensors = std::to_array<TensorRule>({
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
    {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    {"model.layers.{}.mlp.gate_proj.weight", {kIntermediate, kHidden}, Role::kGate},
    {"model.layers.{}.mlp.up_proj.weight", {kIntermediate, kHidden}, Role::kUp},
    {"model.layers.{}.mlp.down_proj.weight", {kHidden, kIntermediate}, Role::kDown},
    {"model.layers.{}.mlp.gate_proj.bias",
     {kIntermediate, kNone},
     Role::kGateBias,
     Presence::kMlpBias},
    {"model.layers.{}.mlp.up_proj.bias", {kIntermediate, kNone}, Role::kUpBias, Presence::kMlpBias},
    {"model.layers.{}.mlp.down_proj.bias", {kHidden, kNone}, Role::kDownBias, Presence::kMlpBias},
    {"model.norm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

/// `rows` with `more` before the row of `role`: families that have Llama's tensors and some of their own.
template <size_t N, size_t M>
constexpr std::array<TensorRule, N + M> inserted(const std::array<TensorRule, N>& rows, Role role,
                                                 const std::array<TensorRule, M>& more) {
  std::array<TensorRule, N + M> all{};
  size_t at = 0;
  for (const TensorRule& row : rows) {
    if (row.role == role) {
      for (const TensorRule& own : more) all[at++] = own;
    }
    all[at++] = row;
  }
  return all;
}

}  // namespace regroup::families
