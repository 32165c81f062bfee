// Qwen3: Llama's, with RMSNorm of each head's queries and keys.
#include "families/llama_tensors.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = families::inserted(
    families::kLlamaTensors, Role::kMlpNorm,
    std::to_array<TensorRule>(
        {{"model.layers.{}.self_attn.q_norm.weight", {kHeadDim, kNone}, Role::kQueryNorm},
         {"model.layers.{}.self_attn.k_norm.weight", {kHeadDim, kNone}, Role::kKeyNorm}}));

}  // namespace

const ModelFamily families::qwen3{.model_type = "qwen3",
                                  .architecture = "Qwen3ForCausalLM",
                                  .defaults = {.kv_heads = 32,
                                               .head_dim = 128,
                                               .max_positions = 32768,
                                               .sliding_window = 4096,
                                               .max_window_layers = 28},
                                  .tensors = kTensors,
                                  .attention = {.qk_norm = QkNorm::kHead},
                                  .qkv_bias = {.key = "attention_bias"},
                                  .output_bias = {.key = "attention_bias"},
                                  .window = WindowRule::kLaterLayers,
                                  .ignored = families::kRotaryBuffer};

}  // namespace regroup
