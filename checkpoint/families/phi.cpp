// Phi-1, Phi-1.5, Phi-2: attention and an MLP without a gate read one LayerNorm, side by side; biases everywhere, in the
// output head too; RoPE on a part of each head.
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
    {"model.layers.{}.self_attn.dense.weight", {kHidden, kQuery}, Role::kOutput},
    {"model.layers.{}.self_attn.q_proj.bias", {kQuery, kNone}, Role::kQueryBias},
    {"model.layers.{}.self_attn.k_proj.bias", {kKv, kNone}, Role::kKeyBias},
    {"model.layers.{}.self_attn.v_proj.bias", {kKv, kNone}, Role::kValueBias},
    {"model.layers.{}.self_attn.dense.bias", {kHidden, kNone}, Role::kOutputBias},
    {"model.layers.{}.mlp.fc1.weight", {kIntermediate, kHidden}, Role::kUp},
    {"model.layers.{}.mlp.fc1.bias", {kIntermediate, kNone}, Role::kUpBias},
    {"model.layers.{}.mlp.fc2.weight", {kHidden, kIntermediate}, Role::kDown},
    {"model.layers.{}.mlp.fc2.bias", {kHidden, kNone}, Role::kDownBias},
    {"model.final_layernorm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"model.final_layernorm.bias", {kHidden, kNone}, Role::kFinalNormBias},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
    {"lm_head.bias", {kVocab, kNone}, Role::kLmHeadBias},
});

constexpr auto kActivations = std::to_array<ActivationName>({
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu", Activation::kGelu},
});

constexpr auto kRefusedKeys = std::to_array<RefusedKey>({
    {"qk_layernorm", "queries and keys go through a LayerNorm, head by head"},
});

}  // namespace

const ModelFamily families::phi{
    .model_type = "phi",
    .architecture = "PhiForCausalLM",
    .defaults = {.norm_eps = 1e-5, .rotary_share = 0.5, .bos_token_id = 1, .eos_token_id = 2},
    .keys = {.norm_eps = "layer_norm_eps"},
    .activations = kActivations,
    .tensors = kTensors,
    .block = {.norm = Norm::kLayer, .gated = false},
    .may_rotate_part = true,
    .qkv_bias = {.otherwise = true},
    .output_bias = {.otherwise = true},
    .mlp_bias = {.otherwise = true},
    .parallel = {.otherwise = true},
    .refused_keys = kRefusedKeys,
    .serving_limit =
        "vLLM needs --model-impl transformers for it, as its own class shares no KV heads, and "
        "llama.cpp loads none with fewer KV heads than query heads",
    .ignored = families::kRotaryBuffer};

}  // namespace regroup
