// DeepSeekMoE: Llama's, with experts in place of the MLP of all layers but the first, and some that every token goes through.
// Its class is the folder's own code.
#include "families/tensor_rows.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = joined(
    kEmbeddingRow, kInputNormRow, kAttentionRows, kOutputBiasRow,
    std::to_array<TensorRule>({
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    }),
    kGluRows, kExpertRows,
    shared_rows("model.layers.{}.mlp.shared_experts.gate_proj.weight",
                "model.layers.{}.mlp.shared_experts.up_proj.weight",
                "model.layers.{}.mlp.shared_experts.down_proj.weight"),
    kFinalNormRow, kLmHeadRow);

}  // namespace

const ModelFamily families::deepseek{.model_type = "deepseek",
                                     .architecture = "DeepseekForCausalLM",
                                     .defaults = {.bos_token_id = 100000, .eos_token_id = 100001},
                                     .tensors = kTensors,
                                     .heads_fill_hidden = true,
                                     .qkv_bias = {.key = "attention_bias"},
                                     .output_bias = {.key = "attention_bias"},
                                     .experts = {.may_have = true,
                                                 .count_key = "n_routed_experts",
                                                 .intermediate = "moe_intermediate_size",
                                                 .intermediate_size = 1407,
                                                 .shared = "n_shared_experts",
                                                 .shared_counts = true,
                                                 .sum_to_one = {.key = "norm_topk_prob"},
                                                 .layers = ExpertLayers::kFrom},
                                     .ignored = families::kRotaryBuffer};

}  // namespace regroup
