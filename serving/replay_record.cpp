#include "replay_record.h"

#include <algorithm>

namespace regroup {
namespace {

constexpr size_t kCacheBins = 65'536;

}  // namespace

ReplayRecord::ReplayRecord(const ReplaySettings& settings, int64_t weight_bytes,
                           int64_t budget_bytes, int64_t requests)
    : settings_(settings),
      // A bin for each number of sequences.
      concurrency_(static_cast<double>(std::min(settings.max_sequences, requests)),
                   static_cast<size_t>(std::min(settings.max_sequences, requests)) + 1),
      kv_(static_cast<double>(std::max<int64_t>(budget_bytes, 1)), kCacheBins) {
  result_.weight_bytes = weight_bytes;
  result_.budget_bytes = budget_bytes;
  for (auto* samples : {&queue_s_, &ttft_s_, &tpot_s_, &latency_s_, &request_bytes_}) {
    samples->reserve(static_cast<size_t>(requests));
  }
}

void ReplayRecord::ran(double seconds, double sequences, const Cache& cache) {
  result_.busy_s += seconds;
  concurrency_.add(seconds, sequences, sequences);
  kv_.add(seconds, cache.from_bytes, cache.to_bytes);
  given_ += seconds * cache.mean_bytes;
  used_ += seconds * cache.mean_used;
}

void ReplayRecord::was_idle(double seconds, double cache_bytes) {
  concurrency_.add(seconds, 0, 0);
  kv_.add(seconds, cache_bytes, cache_bytes);
}

void ReplayRecord::started(double queue_s, int64_t prefix_hit_tokens) {
  queue_s_.push_back(static_cast<float>(queue_s));
  result_.prefix_hit_tokens += prefix_hit_tokens;
}

void ReplayRecord::completed(const TraceRequest& request, double now, double ttft_s,
                             int64_t cache_bytes) {
  ++result_.completed;
  result_.prompt_tokens += request.prompt_tokens;
  result_.output_tokens += request.output_tokens;
  result_.duration_s = std::max(result_.duration_s, now);
  const double latency = now - request.arrival_s;
  const bool several = request.output_tokens > 1;
  const double tpot = several ? (latency - ttft_s) / (request.output_tokens - 1) : 0;
  ttft_s_.push_back(static_cast<float>(ttft_s));
  latency_s_.push_back(static_cast<float>(latency));
  if (several) tpot_s_.push_back(static_cast<float>(tpot));
  request_bytes_.push_back(static_cast<float>(cache_bytes));
  const auto within = [](double value, double limit) { return limit <= 0 || value <= limit; };
  const bool good = within(ttft_s, settings_.ttft_limit_s) && within(tpot, settings_.tpot_limit_s);
  if (good) ++result_.good;
}

std::optional<double> device_hours_per_million(const ReplayResult& result, int64_t devices) {
  if (result.output_tokens == 0) return std::nullopt;
  const double hours = result.duration_s / 3600 * static_cast<double>(devices);
  return hours / static_cast<double>(result.output_tokens) * 1e6;
}

ReplayResult ReplayRecord::result() {
  result_.concurrency = concurrency_.spread();
  result_.kv_bytes = kv_.spread();
  result_.request_kv_bytes = spread_of(request_bytes_);
  result_.fragmentation = given_ > 0 ? 1 - used_ / given_ : 0;
  result_.queue_s = spread_of(queue_s_);
  result_.ttft_s = spread_of(ttft_s_);
  result_.tpot_s = spread_of(tpot_s_);
  result_.latency_s = spread_of(latency_s_);
  if (result_.duration_s > 0) {
    result_.tokens_per_s = static_cast<double>(result_.output_tokens) / result_.duration_s;
  }
  return result_;
}

}  // namespace regroup
