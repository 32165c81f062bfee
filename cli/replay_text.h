#pragma once

#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/serving/replay.h"

namespace regroup {

/// A trace replayed at several numbers of KV heads.
struct ReplayView {
  const CacheLayout& layout;
  const Trace& trace;
  const ReplaySettings& settings;
  std::string trace_name;  ///< "" for one that was made up
  double gpu_price = 0;    ///< of a device and hour; 0: not said
  std::vector<ReplayResult> results;
};

std::string replay_text(const ReplayView& view);
Json replay_json(const ReplayView& view);
/// One entry of its "options".
Json replay_option_json(const ReplayView& view, const ReplayResult& result);

}  // namespace regroup
