#include "families/llama_tensors.h"

namespace regroup::families {

const ModelFamily llama{.model_type = "llama",
                        .architecture = "LlamaForCausalLM",
                        .defaults = {.bos_token_id = 1, .eos_token_id = 2},
                        .tensors = kLlamaTensors,
                        .qkv_bias = {.key = "attention_bias"},
                        .output_bias = {.key = "attention_bias"},
                        .mlp_bias = {.key = "mlp_bias"},
                        .ignored = kRotaryBuffer};

}  // namespace regroup::families
