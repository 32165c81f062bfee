// OLMo 1: LayerNorm without weights; queries, keys and values may be clipped.
#include "families/families.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = std::to_array<TensorRule>({
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
    {"model.layers.{}.mlp.gate_proj.weight", {kIntermediate, kHidden}, Role::kGate},
    {"model.layers.{}.mlp.up_proj.weight", {kIntermediate, kHidden}, Role::kUp},
    {"model.layers.{}.mlp.down_proj.weight", {kHidden, kIntermediate}, Role::kDown},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

}  // namespace

const ModelFamily families::olmo{.model_type = "olmo",
                                 .architecture = "OlmoForCausalLM",
                                 .defaults = {.norm_eps = 1e-5, .eos_token_id = 50279},
                                 .keys = {.norm_eps = {}, .clip_qkv = "clip_qkv"},
                                 .tensors = kTensors,
                                 .block = {.norm = Norm::kLayerBare},
                                 .qkv_bias = {.key = "attention_bias"},
                                 .output_bias = {.key = "attention_bias"}};

}  // namespace regroup
