// Baichuan-7B: Llama's arithmetic, with queries, keys and values in one tensor. Its class, the folder's own code, shares no KV
// heads, so a conversion writes Llama.
#include "families/tensor_rows.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = joined(
    kEmbeddingRow, kInputNormRow,
    std::to_array<TensorRule>({
        {"model.layers.{}.self_attn.W_pack.weight", {kQkv, kHidden}, Role::kQkv},
        {"model.layers.{}.self_attn.o_proj.weight", {kHidden, kQuery}, Role::kOutput},
        {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    }),
    kGluRows, kFinalNormRow, kLmHeadRow);

constexpr auto kRefusedArchitectures = std::to_array<RefusedName>({
    {"BaichuanForCausalLM",
     "it is Baichuan-13B, whose ALiBi slopes belong to head numbers, or Baichuan2, whose class "
     "normalises the rows of lm_head when it loads them",
     "Baichuan-7B can be converted. Baichuan2-7B can be too once it is saved as LlamaForCausalLM, "
     "with each row of lm_head divided by its norm"},
});

}  // namespace

const ModelFamily families::baichuan{
    .model_type = "baichuan",
    .architecture = "BaiChuanForCausalLM",
    .defaults = {.max_positions = 4096, .bos_token_id = 1, .eos_token_id = 2},
    .tensors = kTensors,
    .heads_fill_hidden = true,
    .refused_architectures = kRefusedArchitectures,
    .written_as = "llama",
    .ignored = families::kRotaryBuffer};

}  // namespace regroup
