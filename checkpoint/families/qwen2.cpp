// Qwen1.5, Qwen2 and Qwen2.5: Llama's, with biases on q, k and v alone.
#include "families/llama_tensors.h"

namespace regroup::families {

const ModelFamily qwen2{.model_type = "qwen2",
                        .architecture = "Qwen2ForCausalLM",
                        .defaults = {.kv_heads = 32,
                                     .max_positions = 32768,
                                     .sliding_window = 4096,
                                     .max_window_layers = 28},
                        .tensors = kLlamaTensors,
                        .qkv_bias = {.otherwise = true},
                        .window = WindowRule::kLaterLayers,
                        .ignored = kRotaryBuffer};

}  // namespace regroup::families
