// OLMo 1: LayerNorm without weights; queries, keys and values may be clipped.
#include "families/tensor_rows.h"

namespace regroup {
namespace {

constexpr auto kTensors =
    families::joined(families::kEmbeddingRow, families::kAttentionRows, families::kOutputBiasRow,
                     families::kGluRows, families::kLmHeadRow);

}  // namespace

const ModelFamily families::olmo{.model_type = "olmo",
                                 .architecture = "OlmoForCausalLM",
                                 .defaults = {.norm_eps = 1e-5, .eos_token_id = 50279},
                                 .keys = {.norm_eps = {}, .clip_qkv = "clip_qkv"},
                                 .tensors = kTensors,
                                 .block = {.norm = Norm::kLayerBare},
                                 .qkv_bias = {.key = "attention_bias"},
                                 .output_bias = {.key = "attention_bias"},
                                 .serving_limit =
                                     "vLLM needs --model-impl transformers for it, as its own "
                                     "class shares no KV heads"};

}  // namespace regroup
