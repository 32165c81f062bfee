#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// How a converted model goes on from tokens that each stand alone at position 0, the held-out ones.
struct FirstTokenQuality {
  int64_t tokens = 0;
  double kl = 0;             ///< KL(parent || converted) of what follows, nats; the mean
  double worst_kl = 0;       ///< no number where one of them is none
  int64_t above_2_nats = 0;  ///< tokens whose KL is so large, or no number
};

/// How a converted model does on the windows of text that were held out.
struct HeldOutQuality {
  double parent_loss = 0;  ///< nats a token
  double loss = 0;
  double kl = 0;              ///< KL(parent || converted), nats a token
  double same_top1 = 0;       ///< share of tokens whose likeliest next one is the parent's
  std::vector<double> rises;  ///< of each window: by how much its loss grew, nats a token
  std::optional<FirstTokenQuality> first_tokens;

  double worst_rise() const;  ///< no number where one of them is none
  /// Windows that lost so much that nothing useful is left of them: 2 nats a token, or a loss that is no number.
  int64_t collapsed() const;
};

/// @param kls  of each token, nats
FirstTokenQuality first_token_quality(const std::vector<double>& kls);

/// For the manifest and --json: the windows as their number and the worst.
Json quality_json(const HeldOutQuality& quality);

}  // namespace regroup
