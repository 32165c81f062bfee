#include "estimate.h"

#include "regroup/checkpoint/family.h"

namespace regroup {

double training_flops_per_token(const ModelConfig& c, int64_t seq_len, TrainScope scope) {
  const auto layers = static_cast<double>(c.n_layers);
  const auto hidden = static_cast<double>(c.hidden_size);
  const auto query = static_cast<double>(c.query_size());
  const auto kv = static_cast<double>(c.kv_size());
  const double attention_matrices = layers * hidden * (2 * query + 2 * kv);
  const double mlp_matrices = layers * 3 * hidden * static_cast<double>(c.intermediate_size);
  const double head = hidden * static_cast<double>(c.vocab_size);
  const double all = attention_matrices + mlp_matrices + head;
  const double trained = scope == TrainScope::kAttention ? attention_matrices : all;
  const double scores = 6 * layers * query * static_cast<double>(seq_len);
  return 4 * all + 2 * trained + scores;
}

int64_t estimate_training_bytes(const ModelConfig& c, const UptrainOptions& options,
                                int64_t n_trainable) {
  const bool narrow = options.precision == "bf16";
  const int64_t width = narrow ? 2 : 4;
  // Weights as computed with, then master, gradient and two moments in float32; float32 weights are
  // their own master.
  const int64_t weights = count_parameters(c) * width + n_trainable * (narrow ? 16 : 12) +
                          (narrow ? n_trainable * 2 : 0);
  const int64_t micro =
      options.micro_batch_size > 0 ? options.micro_batch_size : options.batch_size;
  const int64_t tokens = micro * options.seq_len;
  // Kept for the backward pass by one layer: residual sums and norms, fused projections, attention's
  // output, both halves of the MLP and their product.
  const int64_t per_layer = 4 * c.hidden_size + 2 * (c.query_size() + 2 * c.kv_size()) +
                            c.query_size() + 3 * c.intermediate_size;
  const int64_t kept_layers = options.activation_checkpointing ? 1 : c.n_layers;
  const int64_t boundary = options.activation_checkpointing ? 2 * c.hidden_size * c.n_layers : 0;
  return weights + tokens * width * (per_layer * kept_layers + boundary + 2 * c.hidden_size);
}

}  // namespace regroup
