#include <algorithm>
#include <filesystem>

#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/mlp_sizes.h"
#include "regroup/convert/calibration_sizes.h"
#include "regroup/text/documents.h"

namespace regroup {

namespace {

/// No file holds more tokens than this: one a byte of text, one in two bytes of a token file.
int64_t max_tokens(const CalibrationOptions& options) {
  if (options.reads_own_text()) return options.tokens;
  int64_t max = 0;
  for (const std::string& path : options.files) {
    std::error_code error;
    const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
    if (error) return max_calibration_tokens(options);  // who reads it says what is wrong
    if (is_packed(path)) return max_calibration_tokens(options);
    max += is_text_file(path) ? bytes : bytes / 2;
  }
  return std::min(max_calibration_tokens(options), max);
}

/// The text that windows are chosen from, twice while a file is added.
int64_t text_memory(const CalibrationOptions& options, int64_t tokens) {
  const int64_t times = options.reads_own_text() ? 1 : 2 * kTextToChooseFrom;
  return times * tokens * static_cast<int64_t>(sizeof(int64_t));
}

/// Tokens whose activations are held at once.
int64_t max_rows(const CalibrationSizes& sizes) {
  int64_t rows = kCalibrationTokensAtOnce;
  for (const WindowSizes& set : sizes.sets) {
    // What a step keeps of its tokens for its gradients, and the gradients; set after set.
    const int64_t trained = sizes.steps > 0 ? 4 * set.step_tokens() : 0;
    rows = std::max({rows, set.seq_len, trained});
  }
  return rows;
}

/// Of one layer, norms and biases left out.
int64_t attention_weights(const ModelConfig& config) {
  return 2 * config.hidden_size * (config.query_size() + config.kv_size());
}
int64_t layer_weights(const ModelConfig& config) {
  return attention_weights(config) +
         mlp_matrices(config) * config.hidden_size * most_mlp_channels(config).all;
}

/// Weights, norms and biases left out.
int64_t model_weights(const ModelConfig& config) {
  const int64_t tables = config.tie_word_embeddings ? 1 : 2;
  return config.n_layers * attention_weights(config) + mlp_weights(config).all +
         tables * config.vocab_size * config.hidden_size;
}

/// Copies of a token's rows before and behind its experts, in numbers.
int64_t routed_rows(const ModelConfig& config) {
  return 3 * config.experts.per_token * config.hidden_size;
}

/// The parent in float32, and what it keeps of the texts that it writes at once.
int64_t writing_memory(const ModelConfig& config, int64_t seq_len) {
  const int64_t cache = 2 * config.n_layers * config.kv_size() * seq_len;
  // Logits, probabilities and, in float64, their sums.
  const int64_t choosing = 4 * config.vocab_size;
  return 4 * (model_weights(config) + kTextsAtOnce * (cache + choosing));
}

/// The converted model in float32, its attention four times more (what it was, momentum, two gradients), and
/// what a piece of a step keeps of every layer for its gradients.
int64_t distillation_memory(const ModelConfig& config, const CalibrationSizes& sizes) {
  // Of a token. A gate that is no SwiGLU's is kept too, and bounded scores three times.
  const bool keeps_gate = config.family->block.gated && config.activation != Activation::kSilu;
  const int64_t inner = mlp_matrices(config) + (keeps_gate ? 1 : 0);
  const int64_t scores = config.caps.scores > 0 ? 3 * config.n_heads * sizes.text().seq_len : 0;
  const int64_t kept = 8 * config.hidden_size + 4 * (config.query_size() + config.kv_size()) +
                       inner * most_mlp_channels(config).of_token + routed_rows(config) +
                       scores;  // of a token
  const int64_t tokens = std::max(kDistillTokensAtOnce, sizes.text().seq_len);
  const int64_t head = config.vocab_size * config.hidden_size;  // the parent's own
  return 4 * (model_weights(config) + head +
              config.n_layers * (4 * attention_weights(config) + tokens * kept));
}

/// Of a token on its way through a layer, in numbers.
int64_t widest_row(const ModelConfig& config) {
  return 2 * most_mlp_channels(config).of_token + 3 * config.query_size() + 4 * config.hidden_size +
         routed_rows(config);
}

/// Moments and their copies in float64.
int64_t moments_memory(const ModelConfig& config) {
  const int64_t side = std::max(config.hidden_size + 1, config.query_size());
  return 6 * side * side * 8;
}

/// Encoders and decoders of every layer's keys and values, until they are written.
int64_t transforms_memory(const ModelConfig& config) {
  return config.n_layers * 4 * config.n_kv_heads * config.head_dim * config.head_dim * 8;
}

}  // namespace

int64_t merging_memory(const ModelConfig& config, Method method,
                       const CalibrationOptions& options) {
  const int64_t decided = attention_weights(config) * 2 * 8 + transforms_memory(config);
  if (!options.statistics.empty()) {
    const int64_t read = config.n_layers * (config.hidden_size + 1) * (config.hidden_size + 1) * 8;
    return layer_weights(config) * 4 + decided + moments_memory(config) + read;
  }
  if (!runs_vocabulary(method, options)) return layer_weights(config) * 4 + decided;
  // In float64 the MLP keeps twice as much of a token.
  const int64_t rows =
      kVocabularyTokens * config.hidden_size +
      kVocabularyTokensAtOnce * (widest_row(config) + 2 * most_mlp_channels(config).of_token);
  return (layer_weights(config) + rows) * 8 + decided + moments_memory(config);
}

int64_t calibration_memory(const ModelConfig& config, const CalibrationOptions& options) {
  const int64_t tokens = max_tokens(options);
  const int64_t seq = calibration_seq_len(config, options, tokens);
  const CalibrationSizes sizes = calibration_sizes(config, options, seq, tokens);
  // Two residual streams, with a refit the parent's before and past attention, with steps after it what heads
  // gave; where the closed form is all, the held-out windows of up to four models more, whose gains are tried.
  const int64_t tried = options.refits() ? 0 : 4 * sizes.text().held_out_tokens();
  const int64_t a_token = (options.refit_output ? 3 : 2) * config.hidden_size +
                          (options.aims_steps() ? config.query_size() : 0);
  const int64_t in_memory =
      options.scratch.empty() ? 4 * (sizes.tokens() * a_token + tried * config.hidden_size) : 0;
  // One layer in float32; its attention in float64 twice and, while it is trained, five times more in float32.
  const int64_t weights = layer_weights(config) * 4 + attention_weights(config) * (2 * 8 + 5 * 4);
  const int64_t deciding =
      weights + moments_memory(config) + max_rows(sizes) * widest_row(config) * 4;
  // The embedding at the start and the output projection at the end, in float32 and as stored.
  const int64_t vocabulary = config.vocab_size * config.hidden_size * (4 + 4);
  const int64_t together =
      distill_steps(config, options) > 0 ? distillation_memory(config, sizes) : 0;
  const int64_t writing = options.reads_own_text() ? writing_memory(config, seq) : 0;
  return in_memory + text_memory(options, tokens) + transforms_memory(config) +
         std::max({deciding, vocabulary, together, writing});
}

}  // namespace regroup
