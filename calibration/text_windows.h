#pragma once

#include <cstdint>
#include <vector>

namespace regroup {

/// Windows of a text by their number, window w from token w * seq_len on.
struct TextWindows {
  std::vector<int64_t> fitted;    ///< that layers are fitted on
  std::vector<int64_t> held_out;  ///< that decide
  std::vector<int64_t> fresh;     ///< neither: for training all layers together
};

/// Spreads the windows of a calibration over its text: evenly over the files, as far as each has enough, and
/// evenly within a file, since neighbouring windows are of one document. Held-out windows come from the end of
/// each file: but for one at the border, no document that layers were fitted on decides. A text of no more
/// windows than are wanted is taken whole; of more files than windows the largest give one each.
/// @param available  windows of each file
/// @param windows    how many to take, of which `held_out` are held out; no more than are available
/// @param fresh      how many besides, where there are so many
TextWindows spread_windows(const std::vector<int64_t>& available, int64_t windows, int64_t held_out,
                           int64_t fresh);

}  // namespace regroup
