// OLMo 2: norms of what attention and MLP add, and RMSNorm of all queries and of all keys of a token.
#include "families/olmo_tensors.h"

namespace regroup {

const ModelFamily families::olmo2{.model_type = "olmo2",
                                  .architecture = "Olmo2ForCausalLM",
                                  .defaults = {.norm_eps = 1e-5, .eos_token_id = 50279},
                                  .tensors = families::kOlmoTensors,
                                  .block = {.place = NormPlace::kAfter},
                                  .attention = {.qk_norm = QkNorm::kWhole},
                                  .qkv_bias = {.key = "attention_bias"},
                                  .output_bias = {.key = "attention_bias"}};

}  // namespace regroup
