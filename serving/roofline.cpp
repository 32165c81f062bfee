#include "regroup/serving/roofline.h"

#include <algorithm>

#include "cache_ledger.h"

namespace regroup {

Roofline decode_roofline(const CacheLayout& layout, const CapacityRequest& request,
                         int64_t weight_bytes, int64_t kv_bytes, const Gpu& gpu) {
  const auto batch = static_cast<double>(request.batch);
  const auto devices = static_cast<double>(request.devices);
  const ExpertUse use = expert_use(layout);
  const double params = static_cast<double>(weight_bytes) * use.computed() * 8 /
                        static_cast<double>(request.weight_bits);
  const CacheLedger ledger(layout, request.kv_bits, 1);
  const double attention = ledger.prefill_flops(request.context, 1) / devices;
  Roofline roofline;
  roofline.bytes =
      static_cast<double>(weight_bytes) * use.read(batch) + static_cast<double>(kv_bytes);
  roofline.flops = batch * (2 * params + attention);
  const double read_s = roofline.bytes / gpu.bandwidth_bytes_per_s;
  const double compute_s = roofline.flops / gpu.flops_per_s;
  roofline.memory_bound = read_s >= compute_s;
  roofline.seconds = std::max(read_s, compute_s);
  roofline.tokens_per_s = batch / roofline.seconds;
  return roofline;
}

}  // namespace regroup
