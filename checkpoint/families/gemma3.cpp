// Gemma 3's language models: Gemma 2's, with RMSNorm of each head's queries and keys in place of bounded scores, and with
// angles of their own in layers with a window.
#include "families/families.h"
#include "families/gemma_tensors.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = families::inserted(
    families::kGemmaTensors, Role::kAttentionNorm,
    std::to_array<TensorRule>({
        {"model.layers.{}.self_attn.q_norm.weight", {kHeadDim, kNone}, Role::kQueryNorm},
        {"model.layers.{}.self_attn.k_norm.weight", {kHeadDim, kNone}, Role::kKeyNorm},
    }));

}  // namespace

const ModelFamily families::gemma3{.model_type = "gemma3_text",
                                   .architecture = "Gemma3ForCausalLM",
                                   .defaults = {.kv_heads = 4,
                                                .head_dim = 256,
                                                .max_positions = 131072,
                                                .rope_theta = 1e6,
                                                .sliding_theta = 1e4,
                                                .sliding_window = 4096,
                                                .window_pattern = 6,
                                                .bos_token_id = 2,
                                                .eos_token_id = 1,
                                                .tie_word_embeddings = true},
                                   .keys = {.activation = "hidden_activation",
                                            .query_scalar = "query_pre_attn_scalar",
                                            .window_pattern = "sliding_window_pattern",
                                            .sliding_theta = "rope_local_base_freq",
                                            .logits_cap = "final_logit_softcapping"},
                                   .activations = families::kGemmaActivations,
                                   .tensors = kTensors,
                                   .block = {.norm = Norm::kRmsOffset, .place = NormPlace::kAround},
                                   .attention = {.qk_norm = QkNorm::kHead},
                                   .embeds_by_root = true,
                                   .qkv_bias = {.key = "attention_bias"},
                                   .output_bias = {.key = "attention_bias"},
                                   .window = WindowRule::kPattern,
                                   .sliding_rope = SlidingRope::kOwn,
                                   .refused_keys = families::kGemmaRefused,
                                   .ignored = families::kRotaryBuffer};

}  // namespace regroup
