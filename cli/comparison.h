#pragma once

#include <string>
#include <vector>

#include "calibration_flags.h"
#include "regroup/convert/plan.h"
#include "regroup/results/damage.h"

namespace regroup {

inline constexpr int64_t kLayerTokens = 8192;

struct CompareFlags {
  std::string model;
  std::vector<std::string> methods = {"mean", "align-norm", "pca"};
  std::vector<int64_t> kv_heads;
  std::string text;
  std::string eval_seq_len;
  std::string max_tokens;
  bool per_layer = false;
  std::string layer_tokens;
  CalibrationFlags calibration;
  std::string out;
};

/// Tokens to measure each layer alone on. @throws ConfigError FLAG_VALUE
int64_t layer_tokens(const CompareFlags& flags);

/// Beside the file of --out: the conversions that are measured while others are not.
inline std::string unfinished_comparison(const std::string& out) { return out + ".partial"; }

/// What one conversion asks of its method: options_for(), and `random` too, which takes no text.
/// @throws ConfigError or UnsupportedError for combinations that make no sense
ConvertOptions comparison_request(const ModelConfig& parent, const ConvertOptions& options);

/// Makes every conversion in memory and measures it against the parent. It works on what the rooms
/// convert and eval offer, which do not know each other. Until all are measured, unfinished_comparison() of --out holds what is.
DamageReport measure_damage(const CompareFlags& flags, const Globals& globals,
                            const ModelFolder& model,
                            const std::vector<ConvertOptions>& conversions);

}  // namespace regroup
