// StableLM-3B, StableLM-2-1.6B, StableLM-2-12B, Zephyr-3B, Stable Code 3B: LayerNorm, and RoPE on a part of each head;
// attention and MLP may read the same norm, side by side; queries and keys may be normalised head by head.
#include "families/tensor_rows.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors =
    joined(kEmbeddingRow, kInputNormRow, kInputNormBiasRow, kAttentionRows,
           std::to_array<TensorRule>({
               {.name = "model.layers.{}.self_attn.q_layernorm.norms.{}.weight",
                .shape = {kHeadDim, kNone},
                .role = Role::kQueryNorm,
                .presence = Presence::kQkNorm,
                .each = kHeads},
               {.name = "model.layers.{}.self_attn.k_layernorm.norms.{}.weight",
                .shape = {kHeadDim, kNone},
                .role = Role::kKeyNorm,
                .presence = Presence::kQkNorm,
                .each = kKvHeads},
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
                                     .attention = {.qk_norm = QkNorm::kLayer},
                                     .may_rotate_part = true,
                                     .heads_fill_hidden = true,
                                     .qkv_bias = {.key = "use_qkv_bias"},
                                     .qk_norm = {.key = "qk_layernorm"},
                                     .parallel = {.key = "use_parallel_residual"},
                                     .ignored = families::kRotaryBuffer};

}  // namespace regroup
