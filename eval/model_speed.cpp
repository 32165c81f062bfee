#include "regroup/eval/model_speed.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <c10/core/Allocator.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>

#include "regroup/base/stop_signal.h"
#include "regroup/base/uniform_stream.h"
#include "regroup/eval/machine_speed.h"

namespace regroup {
namespace {

constexpr int64_t kPrefilledTokens = 8192;

/// Ids [rows, columns] int64 on the model's device.
at::Tensor draw_ids(const Decoder& model, int64_t rows, int64_t columns, uint64_t seed) {
  UniformStream random(seed, "bench");
  const at::Tensor ids = at::empty({rows, columns}, at::kLong);
  const auto vocab = static_cast<uint64_t>(model.config().vocab_size);
  for (int64_t& id : std::span(ids.data_ptr<int64_t>(), static_cast<size_t>(ids.numel()))) {
    id = static_cast<int64_t>(random.next_bits() % vocab);
  }
  return ids.to(model.device());
}

/// Sums up what the allocators of LibTorch are asked for on this thread.
class AllocationCount : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    if (bytes > 0) total_ += bytes;
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t total() const { return total_; }

 private:
  int64_t total_ = 0;
};

/// One more token of every sequence. @param ids  [batch, 1]
void step(const Decoder& model, const at::Tensor& ids, KvCache& cache) {
  model.logits(model.hidden(ids, &cache).select(1, -1));
  wait_for(model.device());
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

DecodeSpeed measure_decode(const Decoder& model, const SpeedPoint& point,
                           const SpeedSettings& settings) {
  const c10::InferenceMode no_gradients;
  KvCache cache(model.config(), point.batch, point.context + settings.new_tokens, model.dtype(),
                model.device());
  cache.make_up(point.context);
  const at::Tensor ids = draw_ids(model, point.batch, settings.new_tokens, settings.seed);
  DecodeSpeed speed;
  const int64_t warm_up = std::min(settings.warm_up, settings.new_tokens);
  for (int64_t i = 0; i < warm_up; ++i) step(model, ids.narrow(1, i, 1), cache);
  if (warm_up > 0) {
    cache.cut(cache.length() - 1);
    const auto count = std::make_shared<AllocationCount>();
    const c10::DebugInfoGuard counting(c10::DebugInfoKind::PROFILER_STATE, count);
    step(model, ids.narrow(1, warm_up - 1, 1), cache);
    speed.step_allocated_bytes = count->total();
  }
  cache.cut(point.context);
  for (int64_t i = 0; i < settings.new_tokens; ++i) {
    throw_if_stopped(/*resumable=*/false);
    const auto start = std::chrono::steady_clock::now();
    step(model, ids.narrow(1, i, 1), cache);
    speed.step_s.push_back(seconds_since(start));
  }
  speed.kv_bytes = cache.bytes();
  return speed;
}

int64_t prefilled_at_once(const SpeedPoint& point) {
  return std::clamp<int64_t>(kPrefilledTokens / std::max<int64_t>(1, point.context), 1,
                             point.batch);
}

double measure_prefill(const Decoder& model, const SpeedPoint& point, uint64_t seed) {
  const c10::InferenceMode no_gradients;
  throw_if_stopped(/*resumable=*/false);
  const int64_t sequences = prefilled_at_once(point);
  KvCache cache(model.config(), sequences, point.context, model.dtype(), model.device());
  const at::Tensor ids = draw_ids(model, sequences, point.context, seed);
  wait_for(model.device());
  const auto start = std::chrono::steady_clock::now();
  step(model, ids, cache);
  return seconds_since(start);
}

int64_t read_weight_bytes(const Decoder& model) {
  int64_t bytes = 0;
  for (const at::Tensor& weight : model.parameters()) {
    bytes += static_cast<int64_t>(weight.nbytes());
  }
  if (model.config().tie_word_embeddings) return bytes;
  const int64_t embedding = model.config().vocab_size * model.config().hidden_size;
  return bytes - embedding * static_cast<int64_t>(at::elementSize(model.dtype()));
}

Decoder with_first_heads(const Decoder& model, int64_t n_kv_heads) {
  const ModelConfig& before = model.config();
  ModelConfig config = before;
  config.n_kv_heads = n_kv_heads;
  const int64_t group = before.n_kv_heads / n_kv_heads;
  const int64_t d = before.head_dim;
  const int64_t q = before.query_size();
  const auto options = at::TensorOptions().dtype(at::kLong).device(model.device());
  const at::Tensor heads = at::arange(0, before.n_kv_heads, group, options);  // [n_kv_heads]
  const at::Tensor rows =
      heads.mul(d).unsqueeze(1).add(at::arange(d, options)).flatten();  // of keys, or of values
  const at::Tensor fused =
      at::cat({at::arange(q, options), rows.add(q), rows.add(q + before.kv_size())});
  Decoder smaller(config, model);
  for (int64_t i = 0; i < config.n_layers; ++i) {
    LayerWeights& layer = smaller.layer(i);
    layer.qkv = layer.qkv.index_select(0, fused);
    if (layer.qkv_bias.defined()) layer.qkv_bias = layer.qkv_bias.index_select(0, fused);
    at::Tensor& gains = layer.key_norm.weight;
    if (gains.defined() && gains.size(0) == before.kv_size()) gains = gains.index_select(0, rows);
  }
  return smaller;
}

}  // namespace regroup
