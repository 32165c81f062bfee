#include "traffic.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "regroup/base/error.h"
#include "regroup/base/quantity.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/serving/capacity.h"
#include "regroup/serving/reserve.h"

namespace regroup {
namespace {

[[noreturn]] void refuse_traffic(const char* code, const std::string& message,
                                 const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .hint = hint});
}

/// What --gpu says, or the flag in its place.
double device_figure(const TrafficFlags& flags, const std::string& text, const char* flag,
                     double Gpu::*figure) {
  const std::optional<Gpu> gpu = stated_gpu(flags.served);
  if (text.empty() && gpu) return (*gpu).*figure;
  if (text.empty()) {
    refuse_traffic("FLAG_MISSING",
                   fmt::format("{} or --gpu must say what the device can do, found neither", flag),
                   "name the device, such as --gpu h100, or give its figures");
  }
  return static_cast<double>(figure == &Gpu::flops_per_s ? parse_count(text, flag)
                                                         : parse_size(text, flag));
}

/// --reserve, where "auto" is what `plan` estimates for as many sequences as may run.
int64_t reserve_bytes(const TrafficFlags& flags, const CacheLayout& layout,
                      const ReplaySettings& settings) {
  if (flags.reserve.empty()) return 0;
  if (flags.reserve != kAutoReserve) return parse_size(flags.reserve, "--reserve");
  CapacityRequest request;
  request.batch = settings.max_sequences;
  request.devices = settings.devices;
  request.kv_bits = settings.kv_bits;
  return estimate_reserve(layout, request).total();
}

ReplaySettings to_settings(const TrafficFlags& flags, const CacheLayout& layout) {
  ReplaySettings settings;
  settings.devices = flags.served.tp;
  const std::optional<int64_t> memory = stated_memory(flags.served);
  if (!memory) {
    refuse_traffic("FLAG_MISSING",
                   "--gpu or --gpu-memory must say what the device holds, found neither",
                   "name the device, such as --gpu h100");
  }
  settings.memory_bytes = *memory;
  settings.bandwidth_bytes_per_s =
      flags.efficiency *
      device_figure(flags, flags.bandwidth, "--gpu-bandwidth", &Gpu::bandwidth_bytes_per_s);
  settings.flops_per_s =
      flags.efficiency * device_figure(flags, flags.flops, "--gpu-flops", &Gpu::flops_per_s);
  settings.step_overhead_s = flags.step_overhead_ms * 1e-3;
  settings.kv_bits = storage_bits(flags.served.kv_dtype, "--kv-dtype");
  settings.block_tokens = flags.block_size;
  settings.max_sequences = flags.max_sequences;
  settings.max_step_tokens = flags.max_step_tokens;
  settings.max_context = flags.max_context.empty()
                             ? layout.max_positions
                             : parse_context(flags.max_context, "--max-context");
  settings.reserve_bytes = reserve_bytes(flags, layout, settings);
  settings.prefix_caching = flags.prefix_caching;
  settings.ttft_limit_s = flags.max_ttft_ms * 1e-3;
  settings.tpot_limit_s = flags.max_tpot_ms * 1e-3;
  return settings;
}

/// A cache that the simulation can follow: one that grows with a sequence's own tokens.
void require_simulated(const TrafficFlags& flags, const CacheLayout& layout) {
  for (const CacheLayer& layer : layout.layers) {
    if (layer.kind == CacheKind::kCross) {
      throw UnsupportedError({.code = "REPLAY_MODEL",
                              .message = "the model must have no encoder, found cross-attention",
                              .path = flags.served.model,
                              .hint = "replay a decoder; plan takes models with an encoder too"});
    }
    if (flags.prefix_caching && (layer.kind == CacheKind::kSliding || layer.state_elements > 0)) {
      refuse_traffic(
          "FLAG_CONFLICT",
          "--prefix-caching must not be given for a model whose layers have windows or states",
          "leave it out: what prompts share is not kept whole there");
    }
  }
  if (flags.prefix_caching && kTraceBlockTokens % flags.block_size != 0) {
    refuse_traffic("FLAG_VALUE",
                   fmt::format("--block-size must divide {}, the tokens of a trace's block, with "
                               "--prefix-caching, found {}",
                               kTraceBlockTokens, flags.block_size),
                   "choose 16 or 32");
  }
}

Trace get_trace(const TrafficFlags& flags, uint64_t seed, int64_t max_context) {
  Trace trace;
  if (flags.trace.empty()) {
    MadeTrace made = flags.made;
    made.seed = seed;
    made.max_tokens = max_context;
    if (max_context == 1) {
      refuse_traffic("FLAG_VALUE",
                     "--max-context must be at least 2 for a trace that is made up, found 1",
                     "give a trace, or a longer context");
    }
    trace = make_trace(made);
  } else {
    trace = read_trace(flags.trace, flags.columns);
  }
  if (trace.unordered > 0) {
    spdlog::warn("{} of {} requests stood behind a later one; they were sorted by their times",
                 trace.unordered, trace.requests.size());
  }
  if (flags.prefix_caching && trace.blocks.empty()) {
    refuse_traffic("FLAG_CONFLICT", "--prefix-caching needs a trace with hash_ids, found none",
                   "give a trace in Mooncake's form, or leave the flag out");
  }
  if (trace.shortened > 0) {
    spdlog::warn("{} of {} made-up requests were cut to a context of {}", trace.shortened,
                 trace.requests.size(), max_context);
  }
  for (TraceRequest& request : trace.requests) request.arrival_s /= flags.rate_scale;
  return trace;
}

}  // namespace

Traffic::Traffic(const TrafficFlags& flags)
    : flags_(flags), layout_(read_served_layout(flags.served)) {
  require_simulated(flags, layout_);
  settings_ = to_settings(flags, layout_);
}

void Traffic::load(uint64_t seed) { trace_ = get_trace(flags_, seed, settings_.max_context); }

std::string Traffic::trace_name() const {
  return std::filesystem::path(flags_.trace).filename().string();
}

bool Traffic::divides(int64_t n_kv_heads) const {
  return heads_divide(with_kv_heads(layout_, n_kv_heads), settings_.devices);
}

ServedModel Traffic::model_at(int64_t n_kv_heads) const {
  CapacityRequest request;
  request.devices = flags_.served.tp;
  request.weight_bits = storage_bits(flags_.served.weight_dtype, "--weight-dtype");
  request.weight_bytes = stated_weight_bytes(flags_.served, layout_);
  ServedModel model;
  model.layout = with_kv_heads(layout_, n_kv_heads);
  const std::optional<int64_t> weights = device_weight_bytes(model.layout, request);
  if (!weights) {
    refuse_traffic(
        "FLAG_MISSING",
        fmt::format("--weights must say how many bytes the weights have, which are not counted "
                    "for model_type \"{}\"",
                    layout_.model_type),
        "give the sum of the safetensors files, or the model's folder");
  }
  model.device_weight_bytes = *weights;
  const double held = static_cast<double>(*weights) * 8 / static_cast<double>(request.weight_bits);
  const double used = expert_use(layout_).computed();
  model.flops_per_token = 2 * held * used * static_cast<double>(request.devices);
  return model;
}

ReplayResult Traffic::replay_at(int64_t n_kv_heads,
                                const std::function<void(double)>& progress) const {
  return replay(trace_, model_at(n_kv_heads), settings_, progress);
}

void Traffic::require_memory(int64_t n_kv_heads) const {
  replay({}, model_at(n_kv_heads), settings_);
}

}  // namespace regroup
