// Phi-3-mini, Phi-3-medium, Phi-3.5-mini, Phi-4, Phi-4-mini: Llama's arithmetic, with queries, keys and values in one
// tensor, and gate and up in another.
#include "families/families.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = std::to_array<TensorRule>({
    {"model.embed_tokens.weight", {kVocab, kHidden}, Role::kEmbedding},
    {"model.layers.{}.input_layernorm.weight", {kHidden, kNone}, Role::kInputNorm},
    {"model.layers.{}.self_attn.qkv_proj.weight", {kQkv, kHidden}, Role::kQkv},
    {"model.layers.{}.self_attn.o_proj.weight", {kHidden, kQuery}, Role::kOutput},
    {"model.layers.{}.post_attention_layernorm.weight", {kHidden, kNone}, Role::kMlpNorm},
    {"model.layers.{}.mlp.gate_up_proj.weight", {kGateUp, kHidden}, Role::kGateUp},
    {"model.layers.{}.mlp.down_proj.weight", {kHidden, kIntermediate}, Role::kDown},
    {"model.norm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"lm_head.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

}  // namespace

const ModelFamily families::phi3{.model_type = "phi3",
                                 .architecture = "Phi3ForCausalLM",
                                 .defaults = {.max_positions = 4096,
                                              .original_max_positions = 4096,
                                              .norm_eps = 1e-5,
                                              .bos_token_id = 1,
                                              .eos_token_id = 32000},
                                 .tensors = kTensors,
                                 .may_rotate_part = true,
                                 .window = WindowRule::kEveryLayer};

}  // namespace regroup
