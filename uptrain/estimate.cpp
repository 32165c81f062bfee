#include "estimate.h"

#include <algorithm>

#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/mlp_sizes.h"

namespace regroup {

namespace {

/// Weights of the matrices that every token is multiplied with.
struct Matrices {
  double query, kv, output, mlp, head;
  double all() const { return query + kv + output + mlp + head; }
};

Matrices matrices_of(const ModelConfig& c) {
  const auto per_layer = static_cast<double>(c.n_layers) * static_cast<double>(c.hidden_size);
  return {.query = per_layer * static_cast<double>(c.query_size()),
          .kv = per_layer * 2 * static_cast<double>(c.kv_size()),
          .output = per_layer * static_cast<double>(c.query_size()),
          .mlp = static_cast<double>(mlp_weights(c).of_token),
          .head = static_cast<double>(c.hidden_size) * static_cast<double>(c.vocab_size)};
}

/// q k^T and its product with v, forward.
double attention_flops(const ModelConfig& c, int64_t seq_len) {
  return 2 * static_cast<double>(c.n_layers) * static_cast<double>(c.query_size()) *
         static_cast<double>(seq_len);
}

bool is_trained(Role role, TrainScope scope) {
  switch (role) {
    case Role::kKey:
    case Role::kValue:
    case Role::kKeyBias:
    case Role::kValueBias:
    case Role::kKeyNorm:
      return true;
    case Role::kQuery:
    case Role::kOutput:
    case Role::kQueryBias:
    case Role::kOutputBias:
    case Role::kQueryNorm:
      return scope != TrainScope::kKv;
    default:
      return scope == TrainScope::kAll;
  }
}

/// Of one micro-batch. In floating point, as all that it is multiplied with: flags can ask for more bytes
/// than an int64 counts.
double tokens_at_once(const UptrainOptions& options) {
  const int64_t micro =
      options.micro_batch_size > 0 ? options.micro_batch_size : options.batch_size;
  return static_cast<double>(micro) * static_cast<double>(options.seq_len);
}

/// At most 2 EiB: a few of them still add up.
int64_t to_bytes(double bytes) { return static_cast<int64_t>(std::min(bytes, 0x1p61)); }

/// What a backward pass over one micro-batch keeps of the forward pass, and the gradients of a layer.
double activation_bytes(const ModelConfig& c, const UptrainOptions& options) {
  const bool narrow = options.precision == Precision::kBf16;
  const double width = narrow ? 2 : 4;
  // Kept for the backward pass by one layer: residual sums and norms, fused projections, attention's
  // output, both halves of the MLP and their product, a token's rows before and behind its experts; LayerNorm keeps
  // its inputs in float32.
  const BlockSpec& block = c.family->block;
  const int64_t norms = !narrow                          ? 0
                        : centres(block.norm)            ? 4 * c.hidden_size
                        : block.norm == Norm::kRmsOffset ? 8 * c.hidden_size  // twice, in float32
                                                         : 0;
  // SwiGLU is computed again, GELU of a gate is kept. Bounded scores are kept three times in float32.
  const bool keeps_gate = block.gated && c.activation != Activation::kSilu;
  const int64_t inner = (block.gated ? 3 : 2) + (keeps_gate ? 1 : 0);
  const int64_t scores = c.caps.scores > 0 ? c.n_heads * options.seq_len * (narrow ? 6 : 3) : 0;
  const bool two_more = block.place == NormPlace::kAround;
  const bool one_more = c.parallel && c.own_mlp_norm;
  const int64_t more_norms = (two_more ? 2 : one_more ? 1 : 0) * c.hidden_size;
  const int64_t per_layer = norms + more_norms + 4 * c.hidden_size +
                            2 * (c.query_size() + 2 * c.kv_size()) + c.query_size() +
                            inner * most_mlp_channels(c).of_token +
                            3 * c.experts.per_token * c.hidden_size + scores;
  // One layer more: the gradients of the one that the backward pass is in.
  const int64_t kept_layers = 1 + (options.activation_checkpointing ? 1 : c.n_layers);
  const int64_t boundary = options.activation_checkpointing ? 2 * c.hidden_size * c.n_layers : 0;
  const auto per_token =
      static_cast<double>(per_layer * kept_layers + boundary + 2 * c.hidden_size);
  return tokens_at_once(options) * width * per_token;
}

/// Of a trained parameter, spread over the processes: two moments, and in bf16 the master weight.
int64_t spread_width(const UptrainOptions& options) {
  return options.precision == Precision::kBf16 ? 12 : 8;
}

}  // namespace

double training_flops_per_token(const ModelConfig& c, int64_t seq_len, TrainScope scope) {
  const Matrices m = matrices_of(c);
  const double attention = 3 * attention_flops(c, seq_len);
  if (scope == TrainScope::kAll) return 6 * m.all() + attention;
  const double first_input = (m.query + m.kv) / static_cast<double>(c.n_layers);
  const double trained = scope == TrainScope::kKv ? m.kv : m.query + m.kv + m.output;
  return 4 * m.all() - 2 * first_input + 2 * trained + attention;
}

double forward_flops_per_token(const ModelConfig& c, int64_t seq_len) {
  return 2 * matrices_of(c).all() + attention_flops(c, seq_len);
}

int64_t count_trainable(const ModelConfig& c, TrainScope scope) {
  int64_t total = 0;
  for (const ExpectedTensor& tensor : expected_tensors(c)) {
    const std::vector<PartRows> parts = parts_of(*tensor.rule, c);
    int64_t elements = 1;
    for (const int64_t dimension : tensor.shape) elements *= dimension;
    int64_t rows = 0;
    for (const PartRows& part : parts) rows += part.count;
    for (const PartRows& part : parts) {
      if (is_trained(part.role, scope)) total += elements / rows * part.count;
    }
  }
  return total;
}

int64_t estimate_training_bytes(const ModelConfig& c, const UptrainOptions& options,
                                int64_t n_trainable) {
  const bool narrow = options.precision == Precision::kBf16;
  // Weights as computed with, then master, gradient and two moments in float32; float32 weights are
  // their own master.
  const double weights = static_cast<double>(count_parameters(c)) * (narrow ? 2 : 4) +
                         static_cast<double>(n_trainable) * (narrow ? 18 : 12);
  return to_bytes(weights + activation_bytes(c, options));
}

UptrainOptions options_of_each(UptrainOptions options, int processes) {
  const int64_t share = (options.batch_size + processes - 1) / processes;
  const int64_t micro =
      options.micro_batch_size > 0 ? options.micro_batch_size : options.batch_size;
  options.micro_batch_size = std::min(micro, share);
  return options;
}

int64_t spread_bytes(const ModelConfig& config, const UptrainOptions& options, int processes) {
  return spread_width(options) * count_trainable(config, options.train) * (processes - 1) /
         processes;
}

int64_t gathering_bytes(const ModelConfig& config, const UptrainOptions& options, int processes) {
  if (processes == 1) return 0;
  const int64_t trained = count_trainable(config, options.train);
  // Every buffer whole, and a part of one on its way.
  const int64_t gathered = spread_width(options) * trained + 4 * trained / processes;
  return std::max<int64_t>(0, gathered - to_bytes(activation_bytes(config, options)));
}

int64_t estimate_run_bytes(const ModelConfig& c, const UptrainOptions& options,
                           const std::optional<ModelConfig>& teacher) {
  const int64_t n_trainable = count_trainable(c, options.train);
  const int64_t training = estimate_training_bytes(c, options, n_trainable);
  if (!teacher) return training;
  // What is trained is never shared. Of the rest nobody knows before the bytes are compared.
  const int64_t width = options.precision == Precision::kBf16 ? 2 : 4;
  return std::max(training + estimate_teacher_bytes(*teacher, options) + n_trainable * width,
                  (count_parameters(c) + count_parameters(*teacher)) * width);
}

int64_t estimate_teacher_bytes(const ModelConfig& c, const UptrainOptions& options) {
  const double width = options.precision == Precision::kBf16 ? 2 : 4;
  // Nothing is kept for a backward pass: the residual stream and one layer's MLP at a time.
  return to_bytes(tokens_at_once(options) * width *
                  static_cast<double>(3 * c.hidden_size + 3 * most_mlp_channels(c).of_token));
}

}  // namespace regroup
