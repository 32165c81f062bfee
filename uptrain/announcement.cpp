#include "announcement.h"

#include <fmt/format.h>

namespace regroup {

void announce_pass(const TrainObserver& observer, const std::string& what, int64_t tokens,
                   double flops_per_token) {
  constexpr double kSeconds = 1e11;  // FLOPs of a few seconds on two cores
  const double flops = static_cast<double>(tokens) * flops_per_token;
  if (!observer.announced || flops < kSeconds) return;
  observer.announced(fmt::format("{}: {} tokens, {:.2g} FLOPs", what, tokens, flops));
}

}  // namespace regroup
