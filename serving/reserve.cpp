#include "regroup/serving/reserve.h"

#include "regroup/checkpoint/mlp_sizes.h"

namespace regroup {
namespace {

constexpr int64_t kStepTokens = 8192;  // a step of chunked prefill in vLLM
constexpr int64_t kGraphs = int64_t{1280}
                            << 20;  // CUDA context 0.5 GiB, graphs of 35 batch sizes 0.75 GiB
constexpr int64_t kBlockTokens = 16;
constexpr int64_t kMlpFactor = 4;  // width of an MLP, where only the model's width is known

}  // namespace

Reserve estimate_reserve(const CacheLayout& layout, const CapacityRequest& request) {
  const int64_t mlp =
      layout.config ? most_mlp_channels(*layout.config).of_token : kMlpFactor * layout.hidden_size;
  const int64_t devices = request.devices;
  Reserve reserve;
  // The residual stream twice and queries whole; gate, up and their product divided.
  reserve.activations = kStepTokens * 2 * (3 * layout.hidden_size + 3 * mlp / devices);
  reserve.logits = request.batch * layout.vocab_size * 4;
  reserve.cuda_graphs = kGraphs;
  reserve.fragmentation =
      request.batch * kBlockTokens / 2 * cache_bytes_per_token(layout, request.kv_bits) / devices;
  return reserve;
}

}  // namespace regroup
