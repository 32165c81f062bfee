// Qwen3-30B-A3B, Qwen3-235B-A22B, Qwen3-Coder: Qwen3's, with experts in place of the MLP of some layers.
#include "families/qwen_moe.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = joined(
    kEmbeddingRow, kInputNormRow, kAttentionRows, kOutputBiasRow,
    std::to_array<TensorRule>({
        {"model.layers.{}.self_attn.q_norm.weight", {kHeadDim, kNone}, Role::kQueryNorm},
        {"model.layers.{}.self_attn.k_norm.weight", {kHeadDim, kNone}, Role::kKeyNorm},
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    }),
    kGluRows, kExpertRows, kFinalNormRow, kLmHeadRow);

}  // namespace

const ModelFamily families::qwen3_moe{.model_type = "qwen3_moe",
                                      .architecture = "Qwen3MoeForCausalLM",
                                      .defaults = {.kv_heads = 4, .max_positions = 32768},
                                      .tensors = kTensors,
                                      .attention = {.qk_norm = QkNorm::kHead},
                                      .qkv_bias = {.key = "attention_bias"},
                                      .output_bias = {.key = "attention_bias"},
                                      .experts = {.may_have = true,
                                                  .count = 128,
                                                  .per_token = 8,
                                                  .intermediate = "moe_intermediate_size",
                                                  .intermediate_size = 768,
                                                  .sum_to_one = {.key = "norm_topk_prob"},
                                                  .layers = ExpertLayers::kSteps},
                                      .refused_keys = kNoWindow,
                                      .ignored = families::kRotaryBuffer};

}  // namespace regroup
