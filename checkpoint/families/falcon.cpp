// Falcon-7B, 11B, 40B and 180B: LayerNorm, attention and an MLP without a gate side by side, with one norm or one each;
// queries, keys and values in one tensor, KV head by KV head. Falcon-7B has one KV head.
#include "families/families.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = std::to_array<TensorRule>({
    {"transformer.word_embeddings.weight", {kVocab, kHidden}, Role::kEmbedding},
    {"transformer.h.{}.input_layernorm.weight",
     {kHidden, kNone},
     Role::kInputNorm,
     Presence::kNoTwoNorms},
    {"transformer.h.{}.input_layernorm.bias",
     {kHidden, kNone},
     Role::kInputNormBias,
     Presence::kNoTwoNorms},
    {"transformer.h.{}.ln_attn.weight", {kHidden, kNone}, Role::kInputNorm, Presence::kTwoNorms},
    {"transformer.h.{}.ln_attn.bias", {kHidden, kNone}, Role::kInputNormBias, Presence::kTwoNorms},
    {"transformer.h.{}.ln_mlp.weight", {kHidden, kNone}, Role::kMlpNorm, Presence::kTwoNorms},
    {"transformer.h.{}.ln_mlp.bias", {kHidden, kNone}, Role::kMlpNormBias, Presence::kTwoNorms},
    {"transformer.h.{}.self_attention.query_key_value.weight",
     {kQkv, kHidden},
     Role::kQkv,
     Presence::kAlways,
     RowLayout::kGroups},
    {"transformer.h.{}.self_attention.query_key_value.bias",
     {kQkv, kNone},
     Role::kQkvBias,
     Presence::kQkvBias,
     RowLayout::kGroups},
    {"transformer.h.{}.self_attention.dense.weight", {kHidden, kQuery}, Role::kOutput},
    {"transformer.h.{}.self_attention.dense.bias",
     {kHidden, kNone},
     Role::kOutputBias,
     Presence::kOutputBias},
    {"transformer.h.{}.mlp.dense_h_to_4h.weight", {kIntermediate, kHidden}, Role::kUp},
    {"transformer.h.{}.mlp.dense_h_to_4h.bias",
     {kIntermediate, kNone},
     Role::kUpBias,
     Presence::kMlpBias},
    {"transformer.h.{}.mlp.dense_4h_to_h.weight", {kHidden, kIntermediate}, Role::kDown},
    {"transformer.h.{}.mlp.dense_4h_to_h.bias",
     {kHidden, kNone},
     Role::kDownBias,
     Presence::kMlpBias},
    {"transformer.ln_f.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"transformer.ln_f.bias", {kHidden, kNone}, Role::kFinalNormBias},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

constexpr auto kActivations = std::to_array<ActivationName>({
    {"gelu", Activation::kGelu},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
});

constexpr std::string_view kGrouped = "new_decoder_architecture";

constexpr auto kRefusedKeys = std::to_array<RefusedKey>({
    {.key = "alibi",
     .why = "ALiBi adds a slope to scores that belongs to a head's number",
     .hint = "Falcon-RW cannot be converted; the other Falcons have RoPE"},
    {.key = "multi_query",
     .why = "each query head has a KV head of its own, and the class shares none",
     .hint = "Falcon's grouped-query models have new_decoder_architecture true",
     .refused = false,
     .unless = kGrouped},
    {.key = "parallel_attn",
     .why = "attention and MLP stand one behind the other",
     .hint = "Falcon-7B, 11B, 40B and 180B have it true",
     .refused = false},
});

}  // namespace

const ModelFamily families::falcon{.model_type = "falcon",
                                   .architecture = "FalconForCausalLM",
                                   .defaults = {.intermediate_ratio = 4,
                                                .norm_eps = 1e-5,
                                                .bos_token_id = 11,
                                                .eos_token_id = 11,
                                                .tie_word_embeddings = true},
                                   .keys = {.kv_heads = "num_kv_heads",
                                            .norm_eps = "layer_norm_epsilon",
                                            .activation = "activation",
                                            .intermediate = "ffn_hidden_size",
                                            .grouped = kGrouped,
                                            .parallel_norms = "num_ln_in_parallel_attn"},
                                   .activations = kActivations,
                                   .tensors = kTensors,
                                   .block = {.norm = Norm::kLayer, .gated = false},
                                   .heads_fill_hidden = true,
                                   .qkv_bias = {.key = "bias"},
                                   .output_bias = {.key = "bias"},
                                   .mlp_bias = {.key = "bias"},
                                   .parallel = {.otherwise = true},
                                   .refused_keys = kRefusedKeys,
                                   .ignored = families::kRotaryBuffer};

}  // namespace regroup
