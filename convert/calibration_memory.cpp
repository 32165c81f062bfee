#include <algorithm>

#include "calibration_text.h"
#include "regroup/convert/calibrate.h"

namespace regroup {

int64_t calibration_memory(const ModelConfig& config, const CalibrationOptions& options) {
  const int64_t seq = calibration_seq_len(config, options);
  const int64_t stream = options.tokens * config.hidden_size * 4;
  // Without refit and steps a tenth runs through up to four more models, to choose their gains.
  const bool tries_gains = !options.refits();
  const int64_t in_memory =
      options.scratch.empty() ? 2 * stream + (tries_gains ? 4 * stream / 10 : 0) : 0;
  const int64_t attention = 2 * config.hidden_size * (config.query_size() + config.kv_size());
  const int64_t layer = attention + 3 * config.hidden_size * config.intermediate_size;
  // One layer in float32; its attention in float64 twice and, while it is trained, four times more in
  // float32; moments and their copies in float64.
  const int64_t weights = layer * 4 + attention * (2 * 8 + 4 * 4);
  const int64_t side = std::max(config.hidden_size + 1, config.query_size());
  const int64_t moments = 6 * side * side * 8;
  const int64_t rows = std::max(seq, kCalibrationTokensAtOnce) * (options.layer_steps > 0 ? 8 : 1);
  const int64_t widest =
      2 * config.intermediate_size + 3 * config.query_size() + 4 * config.hidden_size;
  // Encoders and decoders of every layer's keys and values, until they are written.
  const int64_t transforms =
      config.n_layers * 4 * config.n_kv_heads * config.head_dim * config.head_dim * 8;
  return in_memory + weights + moments + transforms + rows * widest * 4;
}

}  // namespace regroup
