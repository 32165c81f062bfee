#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// A window that lost more has collapsed: nothing useful is left of it. Nats a token.
inline constexpr double kCollapseNats = 2;

/// What the tokens lost that stand as far from the beginning of their window.
struct PositionDamage {
  int64_t first = 0;  ///< position of the first token predicted from; 0 begins the window
  int64_t end = 0;    ///< the position behind the last
  int64_t tokens = 0;
  double loss_delta = 0;  ///< nats a token more than the baseline
  double kl = 0;          ///< KL(baseline || model), nats a token
  double agreement = 0;   ///< share of tokens whose likeliest next one is the baseline's
};

/// What one window lost.
struct WindowDamage {
  int64_t window = 0;
  int64_t first_token = 0;  ///< of the text
  double loss_before = 0;   ///< nats a token of the baseline
  double loss = 0;

  double rise() const { return loss - loss_before; }
};

/// Where a model loses against a baseline on the same windows.
struct DamageProfile {
  std::vector<PositionDamage> positions;  ///< in order, without gaps
  std::vector<WindowDamage> worst;        ///< at most kWorstWindows, the worst first
  int64_t windows = 0;                    ///< a last one that is not half full left out
  int64_t collapsed = 0;                  ///< windows that lost more than kCollapseNats
};
inline constexpr size_t kWorstWindows = 3;

/// Where the bands of positions begin, and the end of the last: 0, 1, 16, 64, 256, then four times as far.
std::vector<int64_t> position_edges(int64_t seq_len);

/// {"positions": [...], "worst_windows": [...], "windows": n, "collapsed_windows": n}
Json damage_profile_json(const DamageProfile& profile);
/// What damage_profile_json() wrote; what is absent stays empty.
/// @throws CheckpointError CFG_TYPE for a value of the wrong type, naming `path`
DamageProfile read_damage_profile(const Json& json, const std::string& path);

/// For a terminal: its worst window, and what was lost by position. Two lines below `label`, none of an empty one.
std::string damage_lines(const std::string& label, const DamageProfile& profile);
/// "0", "1-15", "256+" (to the end of the window).
std::string band_text(const DamageProfile& profile, size_t band);

}  // namespace regroup
