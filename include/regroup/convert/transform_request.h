#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/documents.h"
#include "regroup/convert/head_transform.h"
#include "regroup/convert/method.h"

namespace regroup {

/// What is measured on text, and what is then done with it beyond the closed forms.
struct CalibrationOptions {
  std::vector<std::string> files;
  DocumentOptions documents;
  int64_t tokens = 40960;  ///< at most so many are used
  int64_t seq_len = 0;     ///< tokens a window; 0: the model's longest, at most 2048
  bool sequential = true;  ///< each layer sees the converted layers below it
  bool refit_output = true;
  int64_t layer_steps = 130;  ///< of the layer-wise stage; 0: none
  int64_t layer_batch = 8;
  double layer_lr = 0.04;
  std::string scratch;     ///< folder for the activations; "": memory
  std::string statistics;  ///< a file of save_statistics() instead of text
  std::string save_statistics;
  std::string device = "cpu";

  /// Whether stages follow the closed forms, so that transforms no longer say what the weights are.
  bool refits() const { return refit_output || layer_steps > 0; }
};

/// What a conversion that reads weights is asked to do.
struct TransformRequest {
  Method method = Method::kPca;
  Grouping grouping = Grouping::kResidual;
  Gain logit_gain = Gain::kAuto;
  Gain output_gain = Gain::kAuto;
  int64_t n_kv_heads = 0;
  std::string dtype = "keep";  ///< of the output; layers below are rounded to it
  uint64_t seed = 0;
  CalibrationOptions calibration;
};

/// What became of one layer.
struct LayerReport {
  int64_t layer = 0;
  std::vector<int64_t> order;  ///< parent KV heads, groups one after another
  double key_residual = 0;     ///< predicted share of the keys' energy that merging loses
  double value_residual = 0;   ///< the same of the values'
  std::optional<double>
      closed;  ///< E|s - y|^2 / E|y|^2 on held-out windows: after the closed form,
  std::optional<double> refitted;  ///< after the refit of Wo,
  double fit_flops = 0;            ///< of the refit and the stage
  std::optional<double> trained;   ///< after the layer-wise stage
};

struct Calibrated {
  std::vector<LayerTransform> transforms;  ///< [n_layers]
  std::vector<LayerReport> layers;
  Gains gains;  ///< that the transforms have, if the method is pca
  int64_t tokens = 0;
  double flops = 0;  ///< of everything done on text
  std::string
      weights_folder;  ///< layer files with final q, k, v and o; "": the transforms say it all
};

/// The safetensors file of one layer's final attention weights in `folder`.
std::string calibrated_layer_path(const std::string& folder, int64_t layer);

/// Called before each layer and at the end with what is done and how much there is.
using CalibrationProgress = std::function<void(int64_t layer, int64_t n_layers)>;

inline constexpr int64_t kCalibrationTokensAtOnce = 2048;  ///< of the windows that are run together

/// Of so many windows, the last ones, which decide and are not worked on: one in ten.
inline int64_t held_out_windows(int64_t windows) { return std::max<int64_t>(1, windows / 10); }

int64_t calibration_seq_len(const ModelConfig& config, const CalibrationOptions& options);

/// Bytes that a Calibration keeps at once, besides LibTorch's own: activations and one layer.
int64_t calibration_memory(const ModelConfig& config, const CalibrationOptions& options);

}  // namespace regroup
