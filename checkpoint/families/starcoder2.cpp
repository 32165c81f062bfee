// StarCoder2: LayerNorm, biases everywhere, an MLP without a gate.
#include "families/tensor_rows.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = joined(
    kEmbeddingRow, kInputNormRow, kInputNormBiasRow, kAttentionRows, kOutputBiasRow,
    std::to_array<TensorRule>({
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
        {"model.layers.{}.post_attention_layernorm.bias", {kHidden, kNone}, Role::kMlpNormBias},
        {"model.layers.{}.mlp.c_fc.weight", {kIntermediate, kHidden}, Role::kUp},
        {"model.layers.{}.mlp.c_fc.bias",
         {kIntermediate, kNone},
         Role::kUpBias,
         Presence::kMlpBias},
        {"model.layers.{}.mlp.c_proj.weight", {kHidden, kIntermediate}, Role::kDown},
        {"model.layers.{}.mlp.c_proj.bias", {kHidden, kNone}, Role::kDownBias, Presence::kMlpBias},
    }),
    kFinalNormRow,
    std::to_array<TensorRule>({
        {"model.norm.bias", {kHidden, kNone}, Role::kFinalNormBias},
    }),
    kLmHeadRow);

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
