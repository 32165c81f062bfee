// OLMo 3: OLMo 2's, with windows in three layers of four; scaled RoPE is that of the others.
#include "families/olmo_tensors.h"

namespace regroup {

const ModelFamily families::olmo3{.model_type = "olmo3",
                                  .architecture = "Olmo3ForCausalLM",
                                  // Layers with a window have the class's own theta, whatever
                                  // rope_theta says, as transformers reads it.
                                  .defaults = {.norm_eps = 1e-5,
                                               .rope_theta = 500000.0,
                                               .sliding_theta = 500000.0,
                                               .sliding_window = 4096,
                                               .window_pattern = 4,
                                               .eos_token_id = 50279},
                                  .tensors = families::kOlmoTensors,
                                  .block = {.place = NormPlace::kAfter},
                                  .attention = {.qk_norm = QkNorm::kWhole},
                                  .qkv_bias = {.key = "attention_bias"},
                                  .output_bias = {.key = "attention_bias"},
                                  .window = WindowRule::kPattern,
                                  .sliding_rope = SlidingRope::kOwn};

}  // namespace regroup
