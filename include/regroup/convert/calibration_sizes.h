#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "regroup/convert/convert_options.h"

namespace regroup {

inline constexpr int64_t kCalibrationTokensAtOnce = 2048;  ///< of the windows that are run together
/// Tokens whose activations of every layer are held for their gradients.
inline constexpr int64_t kDistillTokensAtOnce = 1024;
/// Of text a step of all layers together.
inline constexpr int64_t kDistillStepTokens = 1024;
inline constexpr int64_t kTextToChooseFrom = 16;  ///< times the tokens that are taken
inline constexpr int64_t kTextsAtOnce = 16;       ///< that a model writes itself
/// Where there is no text: tokens drawn from the vocabulary, in windows, and those that are run together.
inline constexpr int64_t kVocabularyTokens = 2048;
inline constexpr int64_t kVocabularyWindow = 128;
inline constexpr int64_t kVocabularyTokensAtOnce = 512;

inline int64_t windows_at_once(int64_t seq_len) {
  return std::max<int64_t>(1, kCalibrationTokensAtOnce / seq_len);
}

/// Windows of one length.
struct WindowSizes {
  int64_t windows = 0;
  int64_t held_out = 0;  ///< of the windows, the last ones
  int64_t seq_len = 0;
  int64_t step_windows = 0;  ///< windows a training step
  double share = 1;          ///< of a layer's loss and error; those of all sets add up to 1
  bool text = true;          ///< false: tokens of the vocabulary, each alone

  int64_t train_windows() const { return windows - held_out; }
  int64_t tokens() const { return windows * seq_len; }
  int64_t held_out_tokens() const { return held_out * seq_len; }
  int64_t train_tokens() const { return train_windows() * seq_len; }
  int64_t step_tokens() const { return step_windows * seq_len; }
};

/// Windows a step of all layers together.
inline int64_t distill_windows(const WindowSizes& text) {
  return std::clamp<int64_t>(kDistillStepTokens / text.seq_len, 1, text.train_windows());
}

/// How the tokens and steps of a calibration are cut.
struct CalibrationSizes {
  std::vector<WindowSizes> sets;  ///< the text's, and first tokens where layers are fitted
  int64_t steps = 0;              ///< a layer, at most

  const WindowSizes& text() const { return sets.front(); }
  int64_t tokens() const { return sum(&WindowSizes::tokens); }
  int64_t step_tokens() const { return sum(&WindowSizes::step_tokens); }

 private:
  int64_t sum(int64_t (WindowSizes::*count)() const) const {
    int64_t all = 0;
    for (const WindowSizes& set : sets) all += (set.*count)();
    return all;
  }
};

/// Of so many windows, the last ones, which decide and are not worked on: one in ten, at least 16 (from 512
/// tokens a window on 8) where there are enough.
int64_t held_out_windows(int64_t windows, int64_t seq_len);

/// Tokens a window, where no flag says: 512, shorter where the model is or where so little text would be too
/// few windows (docs/methods.md, "Windows and steps").
int64_t calibration_seq_len(const ModelConfig& config, const CalibrationOptions& options,
                            int64_t tokens);

/// Tokens of text of a layer step, where no flag says: 2,048, but as few as 512 where the default steps of all layers would
/// take more than 2.5e13 FLOPs (docs/methods.md, "Windows and steps").
int64_t default_step_tokens(const ModelConfig& config);

/// Size of a layer step relative to the weights, where no flag says: 0.01, or 0.04 in models less than 512 wide, whose layers
/// gain by it (docs/methods.md, "How large a step is").
double default_layer_lr(const ModelConfig& config);

/// How `tokens` of text are cut. @param tokens  whole windows
CalibrationSizes calibration_sizes(const ModelConfig& config, const CalibrationOptions& options,
                                   int64_t seq_len, int64_t tokens);

/// Steps of all layers together, where no flag says: as many as 1.4e13 FLOPs allow, at most 64, where layers are trained one by
/// one on converted inputs; none where that is less than eight, as in models of more than some 280 M parameters
/// (docs/methods.md, "All layers together").
int64_t default_distill_steps(const ModelConfig& config, const CalibrationOptions& options);
/// What the flag says, or the default.
int64_t distill_steps(const ModelConfig& config, const CalibrationOptions& options);

/// Size of such a step relative to the weights, where no flag says: 0.005 through the root of the number of layers, whose
/// changes add up (docs/methods.md, "All layers together").
double default_distill_lr(const ModelConfig& config);

/// Of text that training all layers together takes besides, where there is so much.
/// @param options  with distill_steps
int64_t distill_tokens(const CalibrationOptions& options);

/// How many tokens are used at most: more than by default where a budget may pay for them, unless the
/// flags say how many.
int64_t max_calibration_tokens(const CalibrationOptions& options);

}  // namespace regroup
