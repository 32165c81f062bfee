#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "command.h"
#include "flag_values.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/output_file.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/serving/capacity.h"
#include "replay_text.h"
#include "traffic.h"

namespace regroup {
namespace {

struct ReplayFlags {
  TrafficFlags traffic;
  std::vector<int64_t> kv_heads;
  std::string save_trace;
  std::string out;
};

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .hint = hint});
}

std::vector<int64_t> choices_of(const ReplayFlags& flags, const Traffic& traffic) {
  const CacheLayout& layout = traffic.layout();
  const int64_t devices = traffic.settings().devices;
  std::vector<int64_t> choices = flags.kv_heads;
  if (choices.empty()) choices = cache_head_choices(layout);
  for (const int64_t n : choices) require_cache_heads(layout, n);
  require_devices(layout, devices);
  std::erase_if(choices, [&](int64_t n) {
    const bool divides = traffic.divides(n);
    if (!divides) spdlog::warn("{} KV heads and {} devices do not divide: left out", n, devices);
    return !divides;
  });
  if (choices.empty()) {
    refuse("KV_HEADS",
           fmt::format("KV heads and the {} devices must divide, found none that do", devices),
           "choose other --kv-heads or another --tp");
  }
  std::sort(choices.begin(), choices.end(), std::greater<>());
  choices.erase(std::unique(choices.begin(), choices.end()), choices.end());
  return choices;
}

void check_outputs(const ReplayFlags& flags) {
  std::vector<std::string> inputs = {flags.traffic.served.model};
  if (!flags.traffic.trace.empty()) inputs.push_back(flags.traffic.trace);
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
  Traffic traffic(flags.traffic);
  const std::vector<int64_t> choices = choices_of(flags, traffic);
  traffic.load(globals.seed);
  ProgressLine line("replay", globals.quiet);
  const Stopwatch watch;
  ReplayReport report = describe_replay(traffic, flags.traffic.gpu_price);
  for (const int64_t n_kv_heads : choices) {
    const auto before = static_cast<double>(report.options.size());
    const auto tell = [&](double done) {
      line.share((before + done) / static_cast<double>(choices.size()), watch.seconds(),
                 fmt::format("{} KV head{}", n_kv_heads, n_kv_heads == 1 ? "" : "s"));
    };
    try {
      report.options.push_back(replay_option(traffic.replay_at(n_kv_heads, tell), report.server));
    } catch (const ConfigError& error) {
      const bool last = report.options.empty() && n_kv_heads == choices.back();
      if (error.info().code != "REPLAY_MEMORY" || last) throw;
      spdlog::warn("{} KV heads are left out: {}", n_kv_heads, error.info().message);
    }
  }
  CommandOutput output{.json = replay_report_json(report), .text = replay_text(report)};
  if (!flags.save_trace.empty())
    write_file_atomically(flags.save_trace, trace_csv(traffic.trace()));
  if (!flags.out.empty()) write_file_atomically(flags.out, output.json.dump(1) + "\n");
  return output;
}

}  // namespace

void add_replay_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<ReplayFlags>(
      root, invocation, "replay",
      "What a trace of requests would see at each number of KV heads, simulated", run_replay);
  add_served_model_flags(*command, flags->traffic.served);
  command->add_option("--kv-heads", flags->kv_heads, "Numbers to compare; left out: every divisor")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number());
  add_trace_flags(*command, flags->traffic);
  command->add_option("--save-trace", flags->save_trace, "Writes the trace down as .csv")
      ->type_name(kFile);
  add_server_flags(*command, flags->traffic);
  command->add_option("--out", flags->out, "JSON file for `report`")->type_name(kFile);
}

}  // namespace regroup
