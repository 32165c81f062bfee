// Command-R7B, Command A, Aya Vision's language model: Cohere's, with windows in most layers, which alone have RoPE.
#include "families/families.h"
#include "families/parallel_tensors.h"

namespace regroup {

const ModelFamily families::cohere2{.model_type = "cohere2",
                                    .architecture = "Cohere2ForCausalLM",
                                    .defaults = {.max_positions = 8192,
                                                 .norm_eps = 1e-5,
                                                 .sliding_window = 4096,
                                                 .window_pattern = 4,
                                                 .logits_multiplier = 0.0625,
                                                 .bos_token_id = 5,
                                                 .eos_token_id = 255001,
                                                 .tie_word_embeddings = true},
                                    .keys = {.norm_eps = "layer_norm_eps",
                                             .logits_multiplier = "logit_scale",
                                             .window_pattern = "sliding_window_pattern"},
                                    .tensors = families::kParallelTensors,
                                    .block = {.norm = Norm::kLayerScale},
                                    .attention = {.layout = AttentionTraits::Layout::kNeighbours},
                                    .heads_fill_hidden = true,
                                    .qkv_bias = {.key = "attention_bias"},
                                    .output_bias = {.key = "attention_bias"},
                                    .parallel = {.otherwise = true},
                                    .window = WindowRule::kPattern,
                                    .sliding_rope = SlidingRope::kOnly,
                                    .ignored = families::kRotaryBuffer};

}  // namespace regroup
