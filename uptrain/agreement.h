#pragma once

#include <vector>

#include "regroup/model/processes.h"

namespace regroup {

/// Why a run may be asked to stop: by one process, or, once they have agreed, by any of them.
struct StopRequest {
  bool gives_up = false;   ///< the work that was summed is not whole
  bool is_late = false;    ///< `max-minutes`
  bool signalled = false;  ///< filled in by sum_and_agree()
  bool any() const { return gives_up || is_late || signalled; }
};

/// Sums `values` over all processes, and tells all of them what any of them was asked, in one message. A signal to one
/// of them becomes every one's stop_signal().
StopRequest sum_and_agree(Processes& processes, std::vector<double>& values,
                          const StopRequest& mine);

}  // namespace regroup
