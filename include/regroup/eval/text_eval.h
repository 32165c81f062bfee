#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "regroup/model/decoder.h"
#include "regroup/results/damage_profile.h"
#include "regroup/results/estimate.h"
#include "regroup/results/fidelity_curve.h"
#include "regroup/text/token_stream.h"

namespace regroup {

/// How a stream is cut: windows of seq_len + 1 tokens at stride seq_len, each predicting its last
/// seq_len tokens with an empty cache; the last one may be shorter.
struct WindowOptions {
  int64_t seq_len = 256;
  int64_t batch_size = 0;  ///< windows at once; 0: about 4,096 tokens
};

/// Full windows that are fed at once.
int64_t windows_at_once(const WindowOptions& options);

/// Sums over the predicted tokens of one window, or of one band of positions, in float64.
struct WindowScore {
  int64_t tokens = 0;
  double nll = 0;      ///< nats
  double kl = 0;       ///< KL(baseline || model), nats
  int64_t agreed = 0;  ///< tokens where both models' most likely token is the same
  double delta_p = 0;  ///< the right token's probability, model - baseline
  double delta_p_squared = 0;
  double nll_squared = 0;
  double nll_product = 0;  ///< nll of the model x nll of the baseline
};

/// What one model did on one stream.
struct TextScore {
  std::vector<WindowScore> windows;
  std::vector<WindowScore> positions;  ///< of each band of position_edges(seq_len)
  std::vector<float> token_nll;        ///< one a predicted token, in order; filled when asked for
  // With a baseline, of each block of windows (fidelity_blocks): what single tokens are off by.
  std::vector<Histogram> kl_blocks = {};
  std::vector<Histogram> delta_p_blocks = {};
};

/// The scores of a text's first windows.
struct PartialScores {
  int64_t windows = 0;
  std::vector<TextScore> scores;  ///< one a model
};

/// Scores several models on the same batches.
/// @param baseline   index into `models` of the model that KL and agreement refer to, or -1
/// @param keep_nll   fill TextScore::token_nll
/// @param progress   called with windows done and in all
/// @param start      goes on from there; the result is the same, bit by bit
/// @param after_batch  called with the scores so far; it may throw to end the work
/// @return one score a model
/// @throws CheckpointError VAL_NONFINITE when a model gives no number
std::vector<TextScore> score_text(
    const std::vector<const Decoder*>& models, int64_t baseline, const TokenStream& stream,
    const WindowOptions& options, bool keep_nll,
    const std::function<void(int64_t, int64_t)>& progress = {}, PartialScores start = {},
    const std::function<void(const PartialScores&)>& after_batch = {});

int64_t count_windows(int64_t n_tokens, int64_t seq_len);

Estimate loss_estimate(const TextScore& score);  ///< nats a token

/// How far a model is from the baseline it was scored with.
struct Fidelity {
  Estimate kl;               ///< KL(baseline || model), nats a token
  Estimate agreement;        ///< share of tokens with the same most likely token
  Estimate loss_delta;       ///< nats a token more than the baseline
  Estimate delta_p;          ///< mean of the right token's probability, model - baseline
  Estimate rms_delta_p;      ///< root of the mean of its square
  Estimate nll_correlation;  ///< of both models' nll over tokens; not finite where one is constant
};
Fidelity fidelity(const TextScore& score, const TextScore& baseline);
/// Quantiles over tokens of the same.
FidelityCurve fidelity_curve(const TextScore& score);

/// Where it loses against the baseline it was scored with.
DamageProfile damage_profile(const TextScore& score, const TextScore& baseline, int64_t seq_len);

/// (C - U) / (C - B) of the sums over windows: how much of the gap that the conversion opened the
/// uptraining closed; standard error by the jackknife over windows. Not finite without a gap.
Estimate recovery_estimate(const TextScore& baseline, const TextScore& converted,
                           const TextScore& uptrained);

}  // namespace regroup
