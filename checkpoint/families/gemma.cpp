// Gemma 1 and CodeGemma: Llama's tensors, with norms that multiply by 1 + weight, a GELU gate, and embeddings times
// sqrt(hidden_size).
#include "families/llama_tensors.h"

namespace regroup {
namespace {

// "gelu" of the first folders means the tanh form too, as transformers reads it.
constexpr auto kGelu = std::to_array<ActivationName>(
    {{"gelu_pytorch_tanh", Activation::kGeluTanh}, {"gelu", Activation::kGeluTanh}});

constexpr auto kRefusedKeys = std::to_array<RefusedKey>({
    {"use_bidirectional_attention", "tokens see those behind them"},
});

}  // namespace

const ModelFamily families::gemma{.model_type = "gemma",
                                  .architecture = "GemmaForCausalLM",
                                  .defaults = {.kv_heads = 16,
                                               .head_dim = 256,
                                               .max_positions = 8192,
                                               .bos_token_id = 2,
                                               .eos_token_id = 1,
                                               .tie_word_embeddings = true},
                                  .activations = kGelu,
                                  .tensors = families::kLlamaTensors,
                                  .block = {.norm = Norm::kRmsOffset},
                                  .embeds_by_root = true,
                                  .qkv_bias = {.key = "attention_bias"},
                                  .output_bias = {.key = "attention_bias"},
                                  .refused_keys = kRefusedKeys,
                                  .ignored = families::kRotaryBuffer};

}  // namespace regroup
