// StarCoder2: LayerNorm, biases everywhere, an MLP without a gate.
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
    {"model.layers.{}.self_attn.o_proj.bias",
     {kHidden, kNone},
     Role::kOutputBias,
     Presence::kOutputBias},
    {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    {"model.layers.{}.post_attention_layernorm.bias", {kHidden, kNone}, Role::kMlpNormBias},
    {"model.layers.{}.mlp.c_fc.weight", {kIntermediate, kHidden}, Role::kUp},
    {"model.layers.{}.mlp.c_fc.bias", {kIntermediate, kNone}, Role::kUpBias, Presence::kMlpBias},
    {"model.layers.{}.mlp.c_proj.weight", {kHidden, kIntermediate}, Role::kDown},
    {"model.layers.{}.mlp.c_proj.bias", {kHidden, kNone}, Role::kDownBias, Presence::kMlpBias},
    {"model.norm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"model.norm.bias", {kHidden, kNone}, Role::kFinalNormBias},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

constexpr auto kActivations = std::to_array<ActivationName>({
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu", Activation::kGelu},
});

}  // namespace

const ModelFamily families::starcoder2{.model_type = "starcoder2",
                                       .architecture = "Starcoder2ForCausalLM",
                                       .defaults = {.kv_heads = 2,
                                                    .max_positions = 4096,
                                                    .norm_eps = 1e-5,
                                                    .initializer_range = 0.018042,
                                                    .bos_token_id = 50256,
                                                    .eos_token_id = 50256,
                                                    .tie_word_embeddings = true},
                                       .keys = {.norm_eps = "norm_epsilon"},
                                       .activations = kActivations,
                                       .tensors = kTensors,
                                       .block = {.norm = Norm::kLayer, .gated = false},
                                       .qkv_bias = {.key = "use_bias", .otherwise = true},
                                       .output_bias = {.key = "use_bias", .otherwise = true},
                                       .mlp_bias = {.key = "use_bias", .otherwise = true},
                                       .window = WindowRule::kEveryLayer,
                                       .ignored = families::kRotaryBuffer};

}  // namespace regroup
