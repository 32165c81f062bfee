// InternLM 1: Llama's, with biases on q, k, v and o. Its class, the folder's own code, shares no KV heads, so a conversion
// writes Llama.
#include "families/llama_tensors.h"

namespace regroup::families {

const ModelFamily internlm{.model_type = "internlm",
                           .architecture = "InternLMForCausalLM",
                           .defaults = {.bos_token_id = 1, .eos_token_id = 2},
                           .keys = {.rope_section = "rotary"},
                           .tensors = kLlamaTensors,
                           .heads_fill_hidden = true,
                           .qkv_bias = {.key = "bias", .otherwise = true},
                           .output_bias = {.key = "bias", .otherwise = true},
                           .written_as = "llama",
                           .ignored = kRotaryBuffer};

}  // namespace regroup::families
