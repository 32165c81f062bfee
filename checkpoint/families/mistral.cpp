// Llama's tensors and arithmetic; no biases, and an optional sliding window.
#include "families/llama_tensors.h"

namespace regroup::families {

const ModelFamily mistral{.model_type = "mistral",
                          .architecture = "MistralForCausalLM",
                          .defaults = {.kv_heads = 8,
                                       .max_positions = 4096 * 32,
                                       .sliding_window = 4096,
                                       .bos_token_id = 1,
                                       .eos_token_id = 2},
                          .tensors = kLlamaTensors,
                          .window = WindowRule::kEveryLayer,
                          .ignored = kRotaryBuffer};

}  // namespace regroup::families
