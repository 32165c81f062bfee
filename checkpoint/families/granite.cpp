// Granite 3: Llama's, with constants that embeddings, scores, residual additions and logits are multiplied by.
#include "families/llama_tensors.h"

namespace regroup::families {

const ModelFamily granite{.model_type = "granite",
                          .architecture = "GraniteForCausalLM",
                          .defaults = {.bos_token_id = 1, .eos_token_id = 2},
                          .keys = {.embedding_multiplier = "embedding_multiplier",
                                   .residual_multiplier = "residual_multiplier",
                                   .attention_multiplier = "attention_multiplier",
                                   .logits_divisor = "logits_scaling"},
                          .tensors = kLlamaTensors,
                          .qkv_bias = {.key = "attention_bias"},
                          .output_bias = {.key = "attention_bias"},
                          .mlp_bias = {.key = "mlp_bias"},
                          .ignored = kRotaryBuffer};

}  // namespace regroup::families
