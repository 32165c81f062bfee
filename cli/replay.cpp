#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "command.h"
#include "flag_values.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/output_file.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/serving/capacity.h"
#include "regroup/serving/reserve.h"
#include "replay_text.h"
#include "served_model_flags.h"

namespace regroup {
namespace {

struct ReplayFlags {
  ServedModelFlags served;
  std::vector<int64_t> kv_heads;
  std::string trace;
  TraceColumns columns;
  double rate_scale = 1;
  MadeTrace made;
  std::string save_trace;
  std::string reserve;
  std::string bandwidth;
  std::string flops;
  double efficiency = 1;
  double step_overhead_ms = 0;
  int64_t block_size = 16;
  int64_t max_sequences = 256;
  int64_t max_step_tokens = 8192;
  std::string max_context;
  bool prefix_caching = false;
  double max_ttft_ms = 0;
  double max_tpot_ms = 0;
  double gpu_price = 0;
  std::string out;
};

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .hint = hint});
}

/// What --gpu says, or the flag in its place.
double device_figure(const ReplayFlags& flags, const std::string& text, const char* flag,
                     double Gpu::*figure) {
  const std::optional<Gpu> gpu = stated_gpu(flags.served);
  if (text.empty() && gpu) return (*gpu).*figure;
  if (text.empty()) {
    refuse("FLAG_MISSING",
           fmt::format("{} or --gpu must say what the device can do, found neither", flag),
           "name the device, such as --gpu h100, or give its figures");
  }
  return static_cast<double>(figure == &Gpu::flops_per_s ? parse_count(text, flag)
                                                         : parse_size(text, flag));
}

/// --reserve, where "auto" is what `plan` estimates for as many sequences as may run.
int64_t reserve_bytes(const ReplayFlags& flags, const CacheLayout& layout,
                      const ReplaySettings& settings) {
  if (flags.reserve.empty()) return 0;
  if (flags.reserve != kAutoReserve) return parse_size(flags.reserve, "--reserve");
  CapacityRequest request;
  request.batch = settings.max_sequences;
  request.devices = settings.devices;
  request.kv_bits = settings.kv_bits;
  return estimate_reserve(layout, request).total();
}

ReplaySettings to_settings(const ReplayFlags& flags, const CacheLayout& layout) {
  ReplaySettings settings;
  settings.devices = flags.served.tp;
  const std::optional<int64_t> memory = stated_memory(flags.served);
  if (!memory) {
    refuse("FLAG_MISSING", "--gpu or --gpu-memory must say what the device holds, found neither",
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
void require_simulated(const ReplayFlags& flags, const CacheLayout& layout) {
  for (const CacheLayer& layer : layout.layers) {
    if (layer.kind == CacheKind::kCross) {
      throw UnsupportedError({.code = "REPLAY_MODEL",
                              .message = "the model must have no encoder, found cross-attention",
                              .path = flags.served.model,
                              .hint = "replay a decoder; plan takes models with an encoder too"});
    }
    if (flags.prefix_caching && (layer.kind == CacheKind::kSliding || layer.state_elements > 0)) {
      refuse("FLAG_CONFLICT",
             "--prefix-caching must not be given for a model whose layers have windows or states",
             "leave it out: what prompts share is not kept whole there");
    }
  }
  if (flags.prefix_caching && kTraceBlockTokens % flags.block_size != 0) {
    refuse("FLAG_VALUE",
           fmt::format("--block-size must divide {}, the tokens of a trace's block, with "
                       "--prefix-caching, found {}",
                       kTraceBlockTokens, flags.block_size),
           "choose 16 or 32");
  }
}

Trace get_trace(const ReplayFlags& flags, const Globals& globals, int64_t max_context) {
  Trace trace;
  if (flags.trace.empty()) {
    MadeTrace made = flags.made;
    made.seed = globals.seed;
    made.max_tokens = max_context;
    if (max_context == 1) {
      refuse("FLAG_VALUE", "--max-context must be at least 2 for a trace that is made up, found 1",
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
    refuse("FLAG_CONFLICT", "--prefix-caching needs a trace with hash_ids, found none",
           "give a trace in Mooncake's form, or leave the flag out");
  }
  if (trace.shortened > 0) {
    spdlog::warn("{} of {} made-up requests were cut to a context of {}", trace.shortened,
                 trace.requests.size(), max_context);
  }
  for (TraceRequest& request : trace.requests) request.arrival_s /= flags.rate_scale;
  return trace;
}

/// What a device holds, as `plan` counts it.
ServedModel served_model(const ReplayFlags& flags, const CacheLayout& parent, int64_t n_kv_heads) {
  CapacityRequest request;
  request.devices = flags.served.tp;
  request.weight_bits = storage_bits(flags.served.weight_dtype, "--weight-dtype");
  request.weight_bytes = stated_weight_bytes(flags.served, parent);
  ServedModel model;
  model.layout = with_kv_heads(parent, n_kv_heads);
  const std::optional<int64_t> weights = device_weight_bytes(model.layout, request);
  if (!weights) {
    refuse("FLAG_MISSING",
           fmt::format("--weights must say how many bytes the weights have, which are not counted "
                       "for model_type \"{}\"",
                       parent.model_type),
           "give the sum of the safetensors files, or the model's folder");
  }
  model.device_weight_bytes = *weights;
  const double held = static_cast<double>(*weights) * 8 / static_cast<double>(request.weight_bits);
  model.flops_per_token = 2 * held * static_cast<double>(request.devices);
  return model;
}

std::vector<int64_t> choices_of(const ReplayFlags& flags, const CacheLayout& layout) {
  std::vector<int64_t> choices = flags.kv_heads;
  if (choices.empty()) choices = cache_head_choices(layout);
  for (const int64_t n : choices) require_cache_heads(layout, n);
  require_devices(layout, flags.served.tp);
  std::erase_if(choices, [&](int64_t n) {
    const bool divides = heads_divide(with_kv_heads(layout, n), flags.served.tp);
    if (!divides)
      spdlog::warn("{} KV heads and {} devices do not divide: left out", n, flags.served.tp);
    return !divides;
  });
  if (choices.empty()) {
    refuse(
        "KV_HEADS",
        fmt::format("KV heads and the {} devices must divide, found none that do", flags.served.tp),
        "choose other --kv-heads or another --tp");
  }
  std::sort(choices.begin(), choices.end(), std::greater<>());
  choices.erase(std::unique(choices.begin(), choices.end()), choices.end());
  return choices;
}

void check_outputs(const ReplayFlags& flags) {
  std::vector<std::string> inputs = {flags.served.model};
  if (!flags.trace.empty()) inputs.push_back(flags.trace);
  if (!flags.out.empty()) check_output_file(flags.out, "--out", inputs);
  if (flags.save_trace.empty()) return;
  if (!flags.out.empty()) inputs.push_back(flags.out);
  check_output_file(flags.save_trace, "--save-trace", inputs);
  if (flags.save_trace.ends_with(".csv")) return;
  refuse("FLAG_VALUE",
         fmt::format("--save-trace must end in .csv, found {}", printable(flags.save_trace)),
         "give it that name, so that --trace knows it again");
}

CommandOutput run_replay(const ReplayFlags& flags, const Globals& globals) {
  check_outputs(flags);
  const CacheLayout layout = read_served_layout(flags.served);
  require_simulated(flags, layout);
  const ReplaySettings settings = to_settings(flags, layout);
  const std::vector<int64_t> choices = choices_of(flags, layout);
  const Trace trace = get_trace(flags, globals, settings.max_context);
  ProgressLine line("replay", globals.quiet);
  const Stopwatch watch;
  ReplayView view{.layout = layout,
                  .trace = trace,
                  .settings = settings,
                  .trace_name = std::filesystem::path(flags.trace).filename().string(),
                  .gpu_price = flags.gpu_price};
  for (const int64_t n_kv_heads : choices) {
    const auto before = static_cast<double>(view.results.size());
    const auto tell = [&](double done) {
      line.share((before + done) / static_cast<double>(choices.size()), watch.seconds(),
                 fmt::format("{} KV heads", n_kv_heads));
    };
    try {
      view.results.push_back(
          replay(trace, served_model(flags, layout, n_kv_heads), settings, tell));
    } catch (const ConfigError& error) {
      const bool last = view.results.empty() && n_kv_heads == choices.back();
      if (error.info().code != "REPLAY_MEMORY" || last) throw;
      spdlog::warn("{} KV heads are left out: {}", n_kv_heads, error.info().message);
    }
  }
  CommandOutput output{.json = replay_json(view), .text = replay_text(view)};
  if (!flags.save_trace.empty()) write_file_atomically(flags.save_trace, trace_csv(trace));
  if (!flags.out.empty()) write_file_atomically(flags.out, output.json.dump(1) + "\n");
  return output;
}

void add_trace_flags(CLI::App& command, ReplayFlags& flags) {
  command
      .add_option("--trace", flags.trace,
                  "Requests: Azure's .csv, Mooncake's .jsonl, or a log of yours; left out: made up")
      ->type_name(kFile);
  command.add_option("--trace-time", flags.columns.time, "Column of the times of arrival");
  command.add_option("--trace-prompt", flags.columns.prompt, "Column of the prompts' tokens");
  command.add_option("--trace-output", flags.columns.output, "Column of the outputs' tokens");
  command.add_option("--trace-time-unit", flags.columns.time_unit, "Of times that are numbers")
      ->type_name(words({"s", "ms", "us", "ns"}))
      ->check(one_of({"s", "ms", "us", "ns"}));
  command.add_option("--rate-scale", flags.rate_scale, "Requests come so many times as fast")
      ->capture_default_str()
      ->check(number(1e-3, 1e6));
  command.add_option("--requests", flags.made.requests, "Made up: how many")
      ->capture_default_str()
      ->check(whole_number(1, 100'000'000));
  command.add_option("--rate", flags.made.rate, "Made up: requests a second")
      ->capture_default_str()
      ->check(number(1e-6, 1e6));
  command
      .add_option(
          "--burstiness", flags.made.burstiness,
          "Made up: shape of the gaps' gamma distribution; 1 is Poisson, less comes in bursts")
      ->capture_default_str()
      ->check(number(0.01, 1e6));
  command.add_option("--prompt-tokens", flags.made.prompt_mean, "Made up: mean of the prompts")
      ->capture_default_str()
      ->check(number(1, 1e7));
  command.add_option("--output-tokens", flags.made.output_mean, "Made up: mean of the outputs")
      ->capture_default_str()
      ->check(number(1, 1e7));
  command.add_option("--save-trace", flags.save_trace, "Writes the trace down as .csv")
      ->type_name(kFile);
}

void add_server_flags(CLI::App& command, ReplayFlags& flags) {
  command.add_option("--reserve", flags.reserve,
                     "Memory of a device to keep free; auto: as plan estimates it");
  command.add_option("--gpu-bandwidth", flags.bandwidth, "Bytes a second of its memory: 3.35TB");
  command.add_option("--gpu-flops", flags.flops, "FLOP/s of a device in 16 bits: 989T");
  command
      .add_option("--efficiency", flags.efficiency,
                  "Share of bandwidth and FLOP/s that the engine reaches")
      ->capture_default_str()
      ->check(number(0.001, 1));
  command.add_option("--step-overhead-ms", flags.step_overhead_ms, "Added to every step")
      ->capture_default_str()
      ->check(number(0, 1e4));
  command.add_option("--block-size", flags.block_size, "Tokens of a block of the cache")
      ->capture_default_str()
      ->check(whole_number(1, 4096));
  command.add_option("--max-sequences", flags.max_sequences, "That run at once")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 20));
  command
      .add_option("--max-step-tokens", flags.max_step_tokens,
                  "Tokens of a step: one a running sequence, the rest parts of prompts")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 24));
  command.add_option("--max-context", flags.max_context,
                     "Longer requests are rejected; left out: the model's own limit");
  command.add_flag("--prefix-caching", flags.prefix_caching,
                   "Prompts that begin alike share their blocks (hash_ids)");
  command
      .add_option("--max-ttft-ms", flags.max_ttft_ms,
                  "Time to the first token of a request that counts as good")
      ->check(number(0, 1e9));
  command.add_option("--max-tpot-ms", flags.max_tpot_ms, "Time for each further token of it")
      ->check(number(0, 1e9));
  command
      .add_option("--gpu-price", flags.gpu_price, "Of a device and hour, for the cost of tokens")
      ->check(number(0, 1e6));
}

}  // namespace

void add_replay_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<ReplayFlags>(
      root, invocation, "replay",
      "What a trace of requests would see at each number of KV heads, simulated", run_replay);
  add_served_model_flags(*command, flags->served);
  command->add_option("--kv-heads", flags->kv_heads, "Numbers to compare; left out: every divisor")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number());
  add_trace_flags(*command, *flags);
  add_server_flags(*command, *flags);
  command->add_option("--out", flags->out, "JSON file for `report`")->type_name(kFile);
}

}  // namespace regroup
