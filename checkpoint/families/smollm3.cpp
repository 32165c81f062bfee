// SmolLM3: Llama's, with layers that position does not turn.
#include "families/llama_tensors.h"

namespace regroup {
namespace {

constexpr auto kRefusedKeys = std::to_array<RefusedKey>({
    {"use_sliding_window", "layers without RoPE see a window"},
});

}  // namespace

const ModelFamily families::smollm3{.model_type = "smollm3",
                                    .architecture = "SmolLM3ForCausalLM",
                                    .defaults = {.kv_heads = 4,
                                                 .max_positions = 32768,
                                                 .rope_theta = 2e6,
                                                 .bos_token_id = 128000,
                                                 .eos_token_id = 128001,
                                                 .tie_word_embeddings = true},
                                    .tensors = families::kLlamaTensors,
                                    .may_skip_rope = true,
                                    .qkv_bias = {.key = "attention_bias"},
                                    .output_bias = {.key = "attention_bias"},
                                    .mlp_bias = {.key = "mlp_bias"},
                                    .refused_keys = kRefusedKeys,
                                    .ignored = families::kRotaryBuffer};

}  // namespace regroup
