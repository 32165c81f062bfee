// StableLM-3B, StableLM-2-1.6B, Zephyr-3B, Stable Code 3B: LayerNorm, and RoPE on a part of each head; attention and MLP
// may read the same norm, side by side.
#include "families/families.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = std::to_array<TensorRule>({
    {"model.embed_tokens.weight", {kVocab, kHidden}, Role::kEmbedding},
    {"model.layers.{}.input_layernorm.weight", {kHidden, kNone}, Role::kInputNorm},
    {"model.layers.{}.input_layernorm.bias", {kHidden, kNone}, Role::kInputNormBias},
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
    {"model.layers.{}.post_attention_layernorm.weight",
     {kHidden, kNone},
     Role::kMlpNorm,
     Presence::kSequential},
    {"model.layers.{}.post_attention_layernorm.bias",
     {kHidden, kNone},
     Role::kMlpNormBias,
     Presence::kSequential},
    {"model.layers.{}.mlp.gate_proj.weight", {kIntermediate, kHidden}, Role::kGate},
    {"model.layers.{}.mlp.up_proj.weight", {kIntermediate, kHidden}, Role::kUp},
    {"model.layers.{}.mlp.down_proj.weight", {kHidden, kIntermediate}, Role::kDown},
    {"model.norm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"model.norm.bias", {kHidden, kNone}, Role::kFinalNormBias},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

constexpr auto kRefusedKeys = std::to_array<RefusedKey>({
    {"qk_layernorm", "queries and keys are normalised head by head, with weights of their own"},
});

}  // namespace

const ModelFamily families::stablelm{.model_type = "stablelm",
                                     .architecture = "StableLmForCausalLM",
                                     .defaults = {.kv_heads = 32,
                                                  .max_positions = 4096,
                                                  .norm_eps = 1e-5,
                                                  .rotary_share = 0.25,
                                                  .bos_token_id = 0,
                                                  .eos_token_id = 0},
                                     .keys = {.norm_eps = "layer_norm_eps"},
                                     .tensors = kTensors,
                                     .block = {.norm = Norm::kLayer},
                                     .may_rotate_part = true,
                                     .heads_fill_hidden = true,
                                     .qkv_bias = {.key = "use_qkv_bias"},
                                     .parallel = {.key = "use_parallel_residual"},
                                     .refused_keys = kRefusedKeys,
                                     .ignored = families::kRotaryBuffer};

}  // namespace regroup
