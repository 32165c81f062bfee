// GPT-NeoX-20B, Pythia, RedPajama-INCITE, Dolly, Polyglot: LayerNorm, an MLP without a gate, RoPE on a part of each head; queries,
// keys and values in one tensor, head by head. Its class shares no KV heads, so a conversion writes another.
#include "families/families.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = std::to_array<TensorRule>({
    {"gpt_neox.embed_in.weight", {kVocab, kHidden}, Role::kEmbedding},
    {"gpt_neox.layers.{}.input_layernorm.weight", {kHidden, kNone}, Role::kInputNorm},
    {"gpt_neox.layers.{}.input_layernorm.bias", {kHidden, kNone}, Role::kInputNormBias},
    {"gpt_neox.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    {"gpt_neox.layers.{}.post_attention_layernorm.bias", {kHidden, kNone}, Role::kMlpNormBias},
    {"gpt_neox.layers.{}.attention.query_key_value.weight",
     {kQkv, kHidden},
     Role::kQkv,
     Presence::kAlways,
     RowLayout::kGroups},
    {"gpt_neox.layers.{}.attention.query_key_value.bias",
     {kQkv, kNone},
     Role::kQkvBias,
     Presence::kQkvBias,
     RowLayout::kGroups},
    {"gpt_neox.layers.{}.attention.dense.weight", {kHidden, kQuery}, Role::kOutput},
    {"gpt_neox.layers.{}.attention.dense.bias",
     {kHidden, kNone},
     Role::kOutputBias,
     Presence::kOutputBias},
    {"gpt_neox.layers.{}.mlp.dense_h_to_4h.weight", {kIntermediate, kHidden}, Role::kUp},
    {"gpt_neox.layers.{}.mlp.dense_h_to_4h.bias", {kIntermediate, kNone}, Role::kUpBias},
    {"gpt_neox.layers.{}.mlp.dense_4h_to_h.weight", {kHidden, kIntermediate}, Role::kDown},
    {"gpt_neox.layers.{}.mlp.dense_4h_to_h.bias", {kHidden, kNone}, Role::kDownBias},
    {"gpt_neox.final_layer_norm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"gpt_neox.final_layer_norm.bias", {kHidden, kNone}, Role::kFinalNormBias},
    {"embed_out.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

constexpr auto kActivations = std::to_array<ActivationName>({
    {"gelu", Activation::kGelu},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
});

// Masks that older folders carry.
constexpr auto kIgnored = std::to_array<std::string_view>(
    {".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"});

}  // namespace

const ModelFamily families::gpt_neox{
    .model_type = "gpt_neox",
    .architecture = "GPTNeoXForCausalLM",
    .defaults = {.intermediate_ratio = 4,
                 .norm_eps = 1e-5,
                 .rotary_share = 0.25,
                 .bos_token_id = 0,
                 .eos_token_id = 2},
    .keys = {.norm_eps = "layer_norm_eps",
             .rope_theta = "rotary_emb_base",
             .rotary_share = "rotary_pct"},
    .activations = kActivations,
    .tensors = kTensors,
    .block = {.norm = Norm::kLayer, .gated = false},
    .may_rotate_part = true,
    .heads_fill_hidden = true,
    .qkv_bias = {.key = "attention_bias", .otherwise = true},
    .output_bias = {.key = "attention_bias", .otherwise = true},
    .mlp_bias = {.otherwise = true},
    .parallel = {.key = "use_parallel_residual", .otherwise = true},
    .always_two_norms = true,
    .written_as = "phi",
    .written_as_sequential = "starcoder2",
    .ignored = kIgnored};

}  // namespace regroup
