// Command-R, Command-R+ without QK-norm, Aya 23, Aya Expanse: LayerNorm without a bias, attention and MLP side by side,
// neighbouring channels turned together, logits times a constant.
#include "families/families.h"
#include "families/parallel_tensors.h"

namespace regroup {
namespace {

constexpr auto kRefusedKeys = std::to_array<RefusedKey>({
    {"use_qk_norm", "queries and keys go through a LayerNorm of their own, head by head"},
});

}  // namespace

const ModelFamily families::cohere{
    .model_type = "cohere",
    .architecture = "CohereForCausalLM",
    .defaults = {.max_positions = 8192,
                 .norm_eps = 1e-5,
                 .rope_theta = 500000.0,
                 .logits_multiplier = 0.0625,
                 .bos_token_id = 5,
                 .eos_token_id = 255001,
                 .tie_word_embeddings = true},
    .keys = {.norm_eps = "layer_norm_eps", .logits_multiplier = "logit_scale"},
    .tensors = families::kParallelTensors,
    .block = {.norm = Norm::kLayerScale},
    .attention = {.layout = AttentionTraits::Layout::kNeighbours},
    .qkv_bias = {.key = "attention_bias"},
    .output_bias = {.key = "attention_bias"},
    .parallel = {.otherwise = true},
    .refused_keys = kRefusedKeys,
    .ignored = families::kRotaryBuffer};

}  // namespace regroup
