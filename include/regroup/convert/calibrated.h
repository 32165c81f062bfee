#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "regroup/convert/head_transform.h"
#include "regroup/convert/held_out_quality.h"
#include "regroup/convert/method.h"

namespace regroup {

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
  std::optional<double> trained;   ///< after the layer-wise stage,
  int64_t steps = 0;               ///< which took so many steps
};

struct Calibrated {
  std::vector<LayerTransform> transforms;  ///< [n_layers]
  std::vector<LayerReport> layers;
  Gains gains;  ///< that the transforms have, if the method is pca
  int64_t tokens = 0;
  double flops = 0;  ///< of everything done on text
  std::string
      weights_folder;  ///< layer files with final q, k, v and o; "": the transforms say it all
  std::optional<HeldOutQuality> quality;              ///< of the conversion as it is
  std::optional<HeldOutQuality> before_distillation;  ///< where all layers were trained together
};

/// The safetensors file of one layer's final attention weights in `folder`.
std::string calibrated_layer_path(const std::string& folder, int64_t layer);

/// What a calibration is going to do, said before it begins.
struct CalibrationForecast {
  int64_t windows = 0;
  int64_t held_out = 0;  ///< of them
  int64_t seq_len = 0;
  int64_t first_tokens = 0;  ///< besides, alone at position 0
  int64_t steps = 0;         ///< a layer, at most
  int64_t step_tokens = 0;
  int64_t n_layers = 0;
  int64_t distill_steps = 0;
  double flops = 0;
  double seconds = 0;  ///< about, at the rate measured on this machine
};

/// How far a calibration is.
struct CalibrationStatus {
  int64_t layer = 0;
  int64_t n_layers = 0;
  const char* stage = "";
  double done_s = 0;  ///< work, in seconds as forecast
  double all_s = 0;
};

/// Without text: how many layers are decided.
using LayerProgress = std::function<void(int64_t decided, int64_t n_layers)>;

/// How far the parent is with the text that it writes itself.
using TextProgress = std::function<void(int64_t tokens, int64_t all)>;

struct CalibrationProgress {
  std::function<void(const CalibrationForecast&)> starts;
  std::function<void(const CalibrationStatus&)> moved;  ///< every few hundred tokens; may throw
  TextProgress writes = {};                             ///< before it starts
  LayerProgress decides = {};
};

}  // namespace regroup
