#pragma once

#include <algorithm>
#include <cstdint>

#include "regroup/convert/transform_request.h"

namespace regroup {

inline constexpr int64_t kCalibrationTokensAtOnce = 2048;  ///< of the windows that are run together

inline int64_t windows_at_once(int64_t seq_len) {
  return std::max<int64_t>(1, kCalibrationTokensAtOnce / seq_len);
}

/// How the tokens and steps of a calibration are cut.
struct CalibrationSizes {
  int64_t windows = 0;
  int64_t held_out = 0;  ///< of the windows, the last ones
  int64_t seq_len = 0;
  int64_t steps = 0;         ///< a layer, at most
  int64_t step_windows = 0;  ///< windows a step

  int64_t tokens() const { return windows * seq_len; }
  int64_t held_out_tokens() const { return held_out * seq_len; }
  int64_t train_tokens() const { return (windows - held_out) * seq_len; }
  int64_t step_tokens() const { return step_windows * seq_len; }
};

/// Of so many windows, the last ones, which decide and are not worked on: one in ten, at least 16 where
/// there are enough.
int64_t held_out_windows(int64_t windows);

/// Tokens a window, where no flag says: what the steps were tuned on (docs/methods.md), shorter where so
/// little text would be too few windows.
int64_t calibration_seq_len(const ModelConfig& config, const CalibrationOptions& options,
                            int64_t tokens);

/// How `tokens` of text are cut. @param tokens  whole windows
CalibrationSizes calibration_sizes(const CalibrationOptions& options, int64_t seq_len,
                                   int64_t tokens);

/// How many tokens are used at most: more than by default where a budget may pay for them, unless the
/// flags say how many.
int64_t most_calibration_tokens(const CalibrationOptions& options);

}  // namespace regroup
