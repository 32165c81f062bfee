#include "regroup/convert/calibration_sizes.h"

namespace regroup {

int64_t held_out_windows(int64_t windows) {
  constexpr int64_t kEnough = 16;
  return std::max({int64_t{1}, windows / 10, std::min(kEnough, windows / 4)});
}

int64_t calibration_seq_len(const ModelConfig& config, const CalibrationOptions& options,
                            int64_t tokens) {
  constexpr int64_t kTuned = 256;
  constexpr int64_t kShortest = 64;
  constexpr int64_t kEnoughWindows = 64;
  if (options.seq_len > 0) return options.seq_len;
  int64_t seq = std::min(longest_context(config), kTuned);
  while (seq / 2 >= kShortest && tokens / seq < kEnoughWindows) seq /= 2;
  return seq;
}

CalibrationSizes calibration_sizes(const CalibrationOptions& options, int64_t seq_len,
                                   int64_t tokens) {
  const int64_t windows = tokens / seq_len;
  const int64_t batch = options.layer_batch > 0
                            ? options.layer_batch
                            : std::max<int64_t>(1, options.step_tokens / seq_len);
  const int64_t held_out = held_out_windows(windows);
  return {.windows = windows,
          .held_out = held_out,
          .seq_len = seq_len,
          .steps = options.layer_steps,
          .step_windows = std::clamp<int64_t>(windows - held_out, 1, batch)};
}

int64_t most_calibration_tokens(const CalibrationOptions& options) {
  constexpr int64_t kMostOfDefault = 4;
  const bool may_grow = options.budget.is_open() && options.budget.spreads_tokens;
  return may_grow ? kMostOfDefault * kCalibrationTokens : options.tokens;
}

}  // namespace regroup
