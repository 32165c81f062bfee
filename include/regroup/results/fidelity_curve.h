#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/results/histogram.h"

namespace regroup {

/// Tokens of one window depend on each other, and so do neighbouring windows: what is drawn independently is a block of
/// consecutive windows, of which a text has at most so many.
inline constexpr int64_t kFidelityBlocks = 32;
size_t fidelity_blocks(int64_t n_windows);
/// The block of a window: it depends on nothing but the place in the text.
size_t fidelity_block(int64_t window, int64_t n_windows);

/// A quantile with its uncertainty; NaN where unknown.
struct QuantileEstimate {
  double value = std::numeric_limits<double>::quiet_NaN();
  double error = std::numeric_limits<double>::quiet_NaN();  ///< half of the interval through t
  double low = std::numeric_limits<double>::quiet_NaN();    ///< 95 % interval
  double high = std::numeric_limits<double>::quiet_NaN();
};

/// Quantiles of what all blocks hold together. The interval is that of the share, turned into numbers (Woodruff, J. Am. Stat.
/// Assoc. 47, 1952): the share of tokens below the quantile has the cluster-robust error of a ratio over blocks, and
/// Student's t with a degree of freedom less than there are blocks. It takes in no randomness and holds for skewed tails.
/// @param shares  in [0, 1]; 0 and 1 are minimum and maximum. These have no interval. A share whose interval would reach
///                beyond all tokens has none either, and with a single block no share has one.
std::vector<QuantileEstimate> quantile_estimates(const std::vector<Histogram>& blocks,
                                                 const std::vector<double>& shares);

/// llama-perplexity's, of KL and of probabilities together.
inline constexpr std::array<double, 13> kFidelityShares = {
    0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1};

/// How far the single tokens of a text are from the baseline's.
struct FidelityCurve {
  int64_t tokens = 0;
  std::vector<double> shares;
  std::vector<QuantileEstimate> kl;       ///< of KL(baseline || model), nats, at each share
  std::vector<QuantileEstimate> delta_p;  ///< of the right token's probability, model - baseline

  /// The quantile of `list` (kl or delta_p) at `share`; one of NaN where the curve has none there.
  QuantileEstimate at(const std::vector<QuantileEstimate>& list, double share) const;
};

/// @param kl, delta_p  one histogram a block
FidelityCurve fidelity_curve(const std::vector<Histogram>& kl,
                             const std::vector<Histogram>& delta_p);

/// {"tokens", "quantiles": [...], "kl": [...], "kl_low", "kl_high", "delta_p", "delta_p_low", "delta_p_high"}: lists of one
/// length; null where a number is none.
Json fidelity_curve_json(const FidelityCurve& curve);
/// What fidelity_curve_json() wrote, but for the errors; an absent list stays empty.
/// @throws CheckpointError CFG_TYPE for lists of other lengths or of anything but numbers and null, naming `path`
FidelityCurve read_fidelity_curve(const Json& json, const std::string& path);

}  // namespace regroup
