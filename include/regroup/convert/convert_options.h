#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/output_folder.h"
#include "regroup/convert/method.h"
#include "regroup/text/documents.h"

namespace regroup {

inline constexpr int64_t kCalibrationTokens = 40960;
inline constexpr int64_t kLayerSteps = 260;
inline constexpr int64_t kFirstTokens = 4096;

/// Stands in for a file of text: what the parent writes itself.
inline constexpr const char* kOwnText = "self";

/// What a calibration may take at most. It becomes tokens and steps once, before the work begins.
struct CalibrationBudget {
  double seconds = 0;              ///< of this machine,
  double share = 0;                ///< or of the FLOPs that pretraining took,
  int64_t pretraining_tokens = 0;  ///< on so many tokens
  bool spreads_tokens = true;      ///< whether it decides CalibrationOptions::tokens,
  bool spreads_steps = true;       ///< layer_steps
  bool spreads_distill = true;     ///< and distill_steps
  bool spread = false;             ///< they are what it came to

  bool given() const { return seconds > 0 || share > 0; }
  bool is_open() const { return given() && !spread; }
};

/// What is measured on text, and what is then done with it beyond the closed forms.
struct CalibrationOptions {
  std::vector<std::string> files;
  DocumentOptions documents;
  int64_t tokens = kCalibrationTokens;  ///< at most so many are used
  int64_t seq_len = 0;     ///< tokens a window; 0: 512, or what model and text have room for
  bool sequential = true;  ///< each layer sees the converted layers below it
  bool refit_output = true;
  int64_t layer_steps = kLayerSteps;  ///< of the layer-wise stage, at most; 0: none
  int64_t step_tokens = 0;            ///< of such a step; 0: default_step_tokens
  int64_t layer_batch = 0;            ///< the same in windows; 0: as step_tokens says
  /// Size of such a step relative to the weights; absent: default_layer_lr().
  std::optional<double> layer_lr;
  /// Tokens of the vocabulary alone at position 0, at most: what text in windows has few of, and what
  /// every later token attends to. Beside layer fits only.
  int64_t first_tokens = kFirstTokens;
  /// Of end-to-end distillation, all layers together, after the last layer; 0: none; absent: what
  /// default_distill_steps() says, once the model is known.
  std::optional<int64_t> distill_steps;
  /// Size of such a step relative to the weights; absent: default_distill_lr().
  std::optional<double> distill_lr;
  CalibrationBudget budget;
  std::string scratch;     ///< folder for the activations; "": memory
  std::string statistics;  ///< a file of save_statistics() instead of text
  std::string save_statistics;
  std::string device = "cpu";

  bool reads_own_text() const { return files == std::vector<std::string>{kOwnText}; }
  /// The files to be read: none where the parent writes the text.
  std::vector<std::string> text_files() const {
    return reads_own_text() ? std::vector<std::string>() : files;
  }
  /// Whether stages follow the closed forms, so that transforms no longer say what the weights are.
  bool refits() const { return refit_output || layer_steps > 0 || distills(); }
  /// Whether all layers are trained together; false as long as that is left to the default, which trains them
  /// only where layers were trained before.
  bool distills() const { return distill_steps.value_or(0) > 0; }
  /// Whether steps train towards what the refit before them found.
  bool aims_steps() const { return refit_output && layer_steps > 0; }
  /// Whether held-out text says how the conversion does: where its residual stream is at hand, or all of
  /// the model is in memory anyway.
  bool measures_quality() const { return refits() && (sequential || distills()); }
};

/// What a conversion is asked to do: the one place of its settings and their defaults, from the command line to the last layer.
struct ConvertOptions {
  std::string model;
  std::string out;
  int64_t n_kv_heads = 0;
  Method method = kDefaultMethod;
  std::optional<Grouping> grouping;  ///< absent: default_grouping(method)
  Gain logit_gain = Gain::kAuto;     ///< pca only
  Gain output_gain = Gain::kAuto;    ///< pca only
  CalibrationOptions calibration;
  uint64_t seed = 0;
  std::string dtype =
      "keep";  ///< of the output: keep, bf16, f16 or f32; layers below are rounded to it
  int64_t max_shard_bytes = 0;  ///< 0: shards as the parent has them
  bool allow_nonfinite = false;
  OutputOptions output;

  Grouping chosen_grouping() const { return grouping.value_or(default_grouping(method)); }
};

/// Whether the conversion must look at the weights (and perhaps at text) before it is decided.
bool needs_transforms(const ModelConfig& parent, const ConvertOptions& options);
/// What of `asked` means something for such a model: no logit gain where norms make all keys equally long, no refit of Wo with
/// norms behind attention, since a norm takes away what least squares would find. Of conversions that need transforms.
/// @throws ConfigError or UnsupportedError for combinations that make no sense
ConvertOptions options_for(const ModelConfig& parent, ConvertOptions asked);

/// Whether moments are measured on tokens of the vocabulary, for want of text.
inline bool runs_vocabulary(Method method, const CalibrationOptions& calibration) {
  return method == Method::kPca && calibration.files.empty() && calibration.statistics.empty();
}

/// Bytes that a Calibration keeps at once, besides LibTorch's own: activations and one layer, or all layers
/// where they are trained together.
int64_t calibration_memory(const ModelConfig& config, const CalibrationOptions& options);
/// The same where there is no text.
int64_t merging_memory(const ModelConfig& config, Method method, const CalibrationOptions& options);

}  // namespace regroup
