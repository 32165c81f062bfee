#pragma once

#include "families/families.h"

namespace regroup::families {

using enum Dim;

// Rows that most families share; a table is joined of them in the order of the files.

inline constexpr auto kEmbeddingRow = std::to_array<TensorRule>({
    {"model.embed_tokens.weight", {kVocab, kHidden}, Role::kEmbedding},
});

inline constexpr auto kInputNormRow = std::to_array<TensorRule>({
    {"model.layers.{}.input_layernorm.weight", {kHidden, kNone}, Role::kInputNorm},
});

inline constexpr auto kInputNormBiasRow = std::to_array<TensorRule>({
    {"model.layers.{}.input_layernorm.bias", {kHidden, kNone}, Role::kInputNormBias},
});

inline constexpr auto kAttentionRows = std::to_array<TensorRule>({
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
});

inline constexpr auto kOutputBiasRow = std::to_array<TensorRule>({
    {"model.layers.{}.self_attn.o_proj.bias",
     {kHidden, kNone},
     Role::kOutputBias,
     Presence::kOutputBias},
});

inline constexpr auto kGluRows = std::to_array<TensorRule>({
    {"model.layers.{}.mlp.gate_proj.weight",
     {kIntermediate, kHidden},
     Role::kGate,
     Presence::kOneMlp},
    {"model.layers.{}.mlp.up_proj.weight", {kIntermediate, kHidden}, Role::kUp, Presence::kOneMlp},
    {"model.layers.{}.mlp.down_proj.weight",
     {kHidden, kIntermediate},
     Role::kDown,
     Presence::kOneMlp},
});

inline constexpr auto kFinalNormRow = std::to_array<TensorRule>({
    {"model.norm.weight", {kHidden, kNone}, Role::kFinalNorm},
});

inline constexpr auto kLmHeadRow = std::to_array<TensorRule>({
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

/// A matrix of each expert.
constexpr TensorRule expert_row(std::string_view name, std::array<Dim, 2> shape, Role role) {
  return {
      .name = name, .shape = shape, .role = role, .presence = Presence::kExperts, .each = kExperts};
}

inline constexpr auto kExpertRows = std::to_array<TensorRule>({
    {"model.layers.{}.mlp.gate.weight", {kExperts, kHidden}, Role::kRouter, Presence::kExperts},
    expert_row("model.layers.{}.mlp.experts.{}.gate_proj.weight", {kExpertIntermediate, kHidden},
               Role::kExpertGate),
    expert_row("model.layers.{}.mlp.experts.{}.up_proj.weight", {kExpertIntermediate, kHidden},
               Role::kExpertUp),
    expert_row("model.layers.{}.mlp.experts.{}.down_proj.weight", {kHidden, kExpertIntermediate},
               Role::kExpertDown),
});

/// The matrices of the expert that every token goes through.
constexpr std::array<TensorRule, 3> shared_rows(std::string_view gate, std::string_view up,
                                                std::string_view down) {
  return {{{gate, {kSharedIntermediate, kHidden}, Role::kSharedGate, Presence::kSharedExpert},
           {up, {kSharedIntermediate, kHidden}, Role::kSharedUp, Presence::kSharedExpert},
           {down, {kHidden, kSharedIntermediate}, Role::kSharedDown, Presence::kSharedExpert}}};
}

/// The rows of all parts, one part behind the other.
template <size_t... N>
constexpr std::array<TensorRule, (N + ...)> joined(const std::array<TensorRule, N>&... parts) {
  std::array<TensorRule, (N + ...)> all{};
  size_t at = 0;
  const auto add = [&](const auto& rows) {
    for (const TensorRule& row : rows) all[at++] = row;
  };
  (add(parts), ...);
  return all;
}

/// `rows` with `more` before the row of `role`: families that have the rows of another and some of their own.
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
