#include "agreement.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <span>

#include "regroup/base/stop_signal.h"

namespace regroup {

StopRequest sum_and_agree(Processes& processes, std::vector<double>& values,
                          const StopRequest& mine) {
  const size_t n = values.size();
  const auto ranks = static_cast<size_t>(processes.size());
  // The values, two flags, and a place for the signal of each process.
  const at::Tensor message = at::zeros({static_cast<int64_t>(n + 2 + ranks)}, at::kDouble);
  const std::span all(message.data_ptr<double>(), n + 2 + ranks);
  std::copy(values.begin(), values.end(), all.begin());
  all[n] = mine.gives_up ? 1 : 0;
  all[n + 1] = mine.is_late ? 1 : 0;
  all[n + 2 + static_cast<size_t>(processes.rank())] = stop_signal();
  processes.all_reduce(message);
  std::copy_n(all.begin(), n, values.begin());
  StopRequest agreed{.gives_up = all[n] > 0, .is_late = all[n + 1] > 0};
  for (const double signal : all.subspan(n + 2)) {
    if (signal == 0) continue;
    agreed.signalled = true;
    if (stop_signal() == 0) set_stop_signal(static_cast<int>(signal));
  }
  return agreed;
}

}  // namespace regroup
