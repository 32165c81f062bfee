#include "families.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = std::to_array<TensorRule>({
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

// Early folders carry the rotary frequencies as a buffer; they follow from the config.
constexpr auto kIgnored = std::to_array<std::string_view>({".rotary_emb.inv_freq"});

}  // namespace

const ModelFamily kLlama{.model_type = "llama",
                         .architecture = "LlamaForCausalLM",
                         .defaults = {.bos_token_id = 1, .eos_token_id = 2},
                         .tensors = kTensors,
                         .qkv_bias = {.key = "attention_bias"},
                         .output_bias = {.key = "attention_bias"},
                         .mlp_bias = {.key = "mlp_bias"},
                         .ignored = kIgnored};

// Llama's tensors and arithmetic; no biases, and an optional sliding window.
const ModelFamily kMistral{.model_type = "mistral",
                           .architecture = "MistralForCausalLM",
                           .defaults = {.kv_heads = 8,
                                        .max_positions = 4096 * 32,
                                        .sliding_window = 4096,
                                        .bos_token_id = 1,
                                        .eos_token_id = 2},
                           .tensors = kTensors,
                           .window = WindowRule::kEveryLayer,
                           .ignored = kIgnored};

// Qwen1.5, Qwen2 and Qwen2.5: Llama's, with biases on q, k and v alone.
const ModelFamily kQwen2{.model_type = "qwen2",
                         .architecture = "Qwen2ForCausalLM",
                         .defaults = {.kv_heads = 32,
                                      .max_positions = 32768,
                                      .sliding_window = 4096,
                                      .max_window_layers = 28},
                         .tensors = kTensors,
                         .qkv_bias = {.otherwise = true},
                         .window = WindowRule::kLaterLayers,
                         .ignored = kIgnored};

}  // namespace regroup
