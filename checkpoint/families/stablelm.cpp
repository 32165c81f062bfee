// StableLM-3B, StableLM-2-1.6B, Zephyr-3B, Stable Code 3B: LayerNorm, and RoPE on a part of each head; attention and MLP
// may read the same norm, side by side.
#include "families/tensor_rows.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = joined(kEmbeddingRow, kInputNormRow, kInputNormBiasRow, kAttentionRows,
                                 std::to_array<TensorRule>({
                                     {"model.layers.{}.post_attention_layernorm.weight",
                                      {kHidden, kNone},
                                      Role::kMlpNorm,
                                      Presence::kSequential},
                                     {"model.layers.{}.post_attention_layernorm.bias",
                                      {kHidden, kNone},
                                      Role::kMlpNormBias,
                                      Presence::kSequential},
                                 }),
                                 kGluRows, kFinalNormRow,
                                 std::to_array<TensorRule>({
                                     {"model.norm.bias", {kHidden, kNone}, Role::kFinalNormBias},
                                 }),
                                 kLmHeadRow);

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
