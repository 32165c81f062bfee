// Gemma 2: norms around attention and MLP, windows in every second layer, scores and logits bounded by a tanh.
#include "families/families.h"
#include "families/gemma_tensors.h"

namespace regroup {

const ModelFamily families::gemma2{.model_type = "gemma2",
                                   .architecture = "Gemma2ForCausalLM",
                                   .defaults = {.kv_heads = 4,
                                                .head_dim = 256,
                                                .max_positions = 8192,
                                                .sliding_window = 4096,
                                                .window_pattern = 2,
                                                .caps = {.scores = 50, .logits = 30},
                                                .bos_token_id = 2,
                                                .eos_token_id = 1,
                                                .tie_word_embeddings = true},
                                   .keys = {.activation = "hidden_activation",
                                            .query_scalar = "query_pre_attn_scalar",
                                            .scores_cap = "attn_logit_softcapping",
                                            .logits_cap = "final_logit_softcapping"},
                                   .activations = families::kGemmaActivations,
                                   .tensors = families::kGemmaTensors,
                                   .block = {.norm = Norm::kRmsOffset, .place = NormPlace::kAround},
                                   .embeds_by_root = true,
                                   .qkv_bias = {.key = "attention_bias"},
                                   .output_bias = {.key = "attention_bias"},
                                   .window = WindowRule::kPattern,
                                   .refused_keys = families::kGemmaRefused,
                                   .ignored = families::kRotaryBuffer};

}  // namespace regroup
