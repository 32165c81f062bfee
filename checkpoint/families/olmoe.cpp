// OLMoE: experts in place of Llama's MLP, RMSNorm of all queries and of all keys of a token, and behind it a clip.
#include "families/tensor_rows.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = joined(
    kEmbeddingRow, kInputNormRow, kAttentionRows, kOutputBiasRow,
    std::to_array<TensorRule>({
        {"model.layers.{}.self_attn.q_norm.weight", {kQuery, kNone}, Role::kQueryNorm},
        {"model.layers.{}.self_attn.k_norm.weight", {kKv, kNone}, Role::kKeyNorm},
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    }),
    kExpertRows, kFinalNormRow, kLmHeadRow);

}  // namespace

const ModelFamily families::olmoe{
    .model_type = "olmoe",
    .architecture = "OlmoeForCausalLM",
    .defaults = {.max_positions = 4096, .norm_eps = 1e-5, .eos_token_id = 50279},
    .keys = {.clip_qkv = "clip_qkv"},
    .tensors = kTensors,
    .attention = {.qk_norm = QkNorm::kWhole},
    .heads_fill_hidden = true,
    .qkv_bias = {.key = "attention_bias"},
    .output_bias = {.key = "attention_bias"},
    .experts = {.may_have = true,
                .count = 64,
                .per_token = 8,
                .sum_to_one = {.key = "norm_topk_prob"}},
    .serving_limit =
        "llama.cpp loads none with fewer KV heads than query heads, as it wants as many gains of "
        "keys as of queries; transformers and vLLM take it"};

}  // namespace regroup
