#include "regroup/convert/calibration_sizes.h"

#include <cmath>

#include "regroup/checkpoint/mlp_sizes.h"

namespace regroup {
namespace {

constexpr int64_t kDefaultSeqLen = 512;

WindowSizes text_windows(const ModelConfig& config, const CalibrationOptions& options,
                         int64_t seq_len, int64_t tokens) {
  const int64_t windows = tokens / seq_len;
  const int64_t asked = options.step_tokens > 0 ? options.step_tokens : default_step_tokens(config);
  const int64_t batch =
      options.layer_batch > 0 ? options.layer_batch : std::max<int64_t>(1, asked / seq_len);
  const int64_t held_out = held_out_windows(windows, seq_len);
  return {.windows = windows,
          .held_out = held_out,
          .seq_len = seq_len,
          .step_windows = std::clamp<int64_t>(windows - held_out, 1, batch)};
}

/// Of a layer's loss and error: first tokens are few, and every later token attends to what they become.
constexpr double kFirstShare = 0.05;
/// Tokens of text a first token at least: a small calibration stays small.
constexpr int64_t kTextAFirst = 4;

WindowSizes first_token_windows(const WindowSizes& text, int64_t count) {
  WindowSizes first{.windows = count,
                    .held_out = std::max<int64_t>(1, count / 10),
                    .seq_len = 1,
                    .share = kFirstShare,
                    .text = false};
  // A step takes so many that both sets are gone through equally often; no more tokens than of the text.
  const int64_t all = std::max<int64_t>(1, text.train_windows());
  const int64_t even = (first.train_windows() * text.step_windows + all - 1) / all;
  first.step_windows =
      std::clamp<int64_t>(even, 1, std::min(text.step_tokens(), first.train_windows()));
  return first;
}

}  // namespace

int64_t held_out_windows(int64_t windows, int64_t seq_len) {
  const int64_t enough = std::clamp<int64_t>(4096 / seq_len, 8, 16);
  return std::max({int64_t{1}, windows / 10, std::min(enough, windows / 4)});
}

int64_t calibration_seq_len(const ModelConfig& config, const CalibrationOptions& options,
                            int64_t tokens) {
  constexpr int64_t kShortest = 64;
  constexpr int64_t kEnoughWindows = 64;
  if (options.seq_len > 0) return options.seq_len;
  int64_t seq = std::min(longest_context(config), kDefaultSeqLen);
  while (seq / 2 >= kShortest && tokens / seq < kEnoughWindows) seq /= 2;
  return seq;
}

CalibrationSizes calibration_sizes(const ModelConfig& config, const CalibrationOptions& options,
                                   int64_t seq_len, int64_t tokens) {
  CalibrationSizes sizes{.sets = {text_windows(config, options, seq_len, tokens)},
                         .steps = options.layer_steps};
  const int64_t first = std::min({config.vocab_size, options.first_tokens, tokens / kTextAFirst});
  const bool fits_layers = options.refit_output || options.layer_steps > 0;
  if (!fits_layers || first < 2) return sizes;  // one to work on, one held out
  sizes.sets.push_back(first_token_windows(sizes.text(), first));
  sizes.sets.front().share = 1 - kFirstShare;
  return sizes;
}

int64_t default_step_tokens(const ModelConfig& config) {
  constexpr int64_t kMax = 2048;
  constexpr int64_t kMin = 512;
  constexpr double kMaxFlops = 2.5e13;  // 6 to 10 minutes of two cores with AVX2
  const int64_t attention = config.hidden_size * 2 * (config.query_size() + config.kv_size());
  const auto flops = [&](int64_t tokens) {
    return 6.0 * static_cast<double>(attention) * static_cast<double>(tokens) *
           static_cast<double>(kLayerSteps * config.n_layers);
  };
  int64_t tokens = kMax;
  while (tokens > kMin && flops(tokens) > kMaxFlops) tokens /= 2;
  return tokens;
}

double default_layer_lr(const ModelConfig& config) {
  constexpr int64_t kWide = 512;
  return config.hidden_size < kWide ? 0.04 : 0.01;
}

double default_distill_lr(const ModelConfig& config) {
  return 0.005 / std::sqrt(static_cast<double>(config.n_layers));
}

int64_t default_distill_steps(const ModelConfig& config, const CalibrationOptions& options) {
  constexpr int64_t kMax = 64;
  constexpr int64_t kFewest = 8;
  constexpr double kMaxFlops = 1.4e13;  // two to three minutes of two cores with AVX2
  if (!options.sequential || options.layer_steps == 0) return 0;
  const int64_t attention = 2 * config.hidden_size * (config.query_size() + config.kv_size());
  const int64_t weights = config.n_layers * attention + mlp_weights(config).of_token +
                          config.vocab_size * config.hidden_size;
  // The parent and the converted model forward, and backward by the inputs.
  const double step = 6.0 * static_cast<double>(weights) * static_cast<double>(kDistillStepTokens);
  const auto steps = static_cast<int64_t>(kMaxFlops / step);
  return steps < kFewest ? 0 : std::min(kMax, steps);
}

int64_t distill_steps(const ModelConfig& config, const CalibrationOptions& options) {
  return options.distill_steps ? *options.distill_steps : default_distill_steps(config, options);
}

int64_t distill_tokens(const CalibrationOptions& options) {
  // A step is of whole windows, however long they are.
  const int64_t seq_len = options.seq_len > 0 ? options.seq_len : kDefaultSeqLen;
  return options.distill_steps.value_or(0) * std::max(kDistillStepTokens, seq_len);
}

int64_t max_calibration_tokens(const CalibrationOptions& options) {
  constexpr int64_t kMaxOfDefault = 4;
  // The model writes what is asked for: no budget counts the writing.
  const bool may_grow =
      options.budget.is_open() && options.budget.spreads_tokens && !options.reads_own_text();
  return may_grow ? kMaxOfDefault * kCalibrationTokens : options.tokens;
}

}  // namespace regroup
