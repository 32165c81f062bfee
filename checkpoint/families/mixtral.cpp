// Mixtral: Mistral's, with experts in place of the MLP.
#include "families/tensor_rows.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = joined(
    kEmbeddingRow, kInputNormRow, kAttentionRows,
    std::to_array<TensorRule>({
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
        {"model.layers.{}.block_sparse_moe.gate.weight", {kExperts, kHidden}, Role::kRouter},
        expert_row("model.layers.{}.block_sparse_moe.experts.{}.w1.weight",
                   {kExpertIntermediate, kHidden}, Role::kExpertGate),
        expert_row("model.layers.{}.block_sparse_moe.experts.{}.w3.weight",
                   {kExpertIntermediate, kHidden}, Role::kExpertUp),
        expert_row("model.layers.{}.block_sparse_moe.experts.{}.w2.weight",
                   {kHidden, kExpertIntermediate}, Role::kExpertDown),
    }),
    kFinalNormRow, kLmHeadRow);

}  // namespace

const ModelFamily families::mixtral{.model_type = "mixtral",
                                    .architecture = "MixtralForCausalLM",
                                    .defaults = {.kv_heads = 8,
                                                 .max_positions = 4096 * 32,
                                                 .norm_eps = 1e-5,
                                                 .rope_theta = 1e6,
                                                 .bos_token_id = 1,
                                                 .eos_token_id = 2},
                                    .tensors = kTensors,
                                    .experts = {.may_have = true,
                                                .count_key = "num_local_experts",
                                                .count = 8,
                                                .per_token = 2,
                                                .sum_to_one = {.otherwise = true}},
                                    .window = WindowRule::kEveryLayer,
                                    .ignored = families::kRotaryBuffer};

}  // namespace regroup
