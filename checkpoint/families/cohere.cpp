// Command-R, Command-R+, Aya 23, Aya Expanse: LayerNorm without a bias, attention and MLP side by side, neighbouring
// channels turned together, logits times a constant; queries and keys may be normalised head by head.
#include "families/families.h"
#include "families/parallel_tensors.h"

namespace regroup {
namespace {

using namespace families;

constexpr auto kTensors = inserted(kParallelTensors, Role::kGate,
                                   std::to_array<TensorRule>({
                                       {"model.layers.{}.self_attn.q_norm.weight",
                                        {kHeads, kHeadDim},
                                        Role::kQueryNorm,
                                        Presence::kQkNorm},
                                       {"model.layers.{}.self_attn.k_norm.weight",
                                        {kKvHeads, kHeadDim},
                                        Role::kKeyNorm,
                                        Presence::kQkNorm},
                                   }));

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
    .tensors = kTensors,
    .block = {.norm = Norm::kLayerScale},
    .attention = {.layout = AttentionTraits::Layout::kNeighbours, .qk_norm = QkNorm::kLayer},
    .qkv_bias = {.key = "attention_bias"},
    .output_bias = {.key = "attention_bias"},
    .qk_norm = {.key = "use_qk_norm"},
    .parallel = {.otherwise = true},
    .ignored = families::kRotaryBuffer};

}  // namespace regroup
