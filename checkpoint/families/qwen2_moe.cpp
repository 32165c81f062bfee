// Qwen1.5-MoE and Qwen2-57B-A14B: Qwen2's, with experts in place of the MLP of some layers, one of which every token
// goes through.
#include "families/qwen_moe.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = joined(
    kEmbeddingRow, kInputNormRow, kAttentionRows,
    std::to_array<TensorRule>({
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    }),
    kGluRows, kExpertRows,
    shared_rows("model.layers.{}.mlp.shared_expert.gate_proj.weight",
                "model.layers.{}.mlp.shared_expert.up_proj.weight",
                "model.layers.{}.mlp.shared_expert.down_proj.weight"),
    std::to_array<TensorRule>({
        {"model.layers.{}.mlp.shared_expert_gate.weight",
         {kOne, kHidden},
         Role::kSharedRouter,
         Presence::kSharedExpert},
    }),
    kFinalNormRow, kLmHeadRow);

}  // namespace

const ModelFamily families::qwen2_moe{.model_type = "qwen2_moe",
                                      .architecture = "Qwen2MoeForCausalLM",
                                      .defaults = {.kv_heads = 16, .max_positions = 32768},
                                      .tensors = kTensors,
                                      .qkv_bias = {.key = "qkv_bias", .otherwise = true},
                                      .experts = {.may_have = true,
                                                  .count = 60,
                                                  .per_token = 4,
                                                  .intermediate = "moe_intermediate_size",
                                                  .intermediate_size = 1408,
                                                  .shared = "shared_expert_intermediate_size",
                                                  .shared_size = 5632,
                                                  .shared_is_gated = true,
                                                  .sum_to_one = {.key = "norm_topk_prob"},
                                                  .layers = ExpertLayers::kSteps},
                                      .refused_keys = kNoWindow,
                                      .ignored = families::kRotaryBuffer};

}  // namespace regroup
