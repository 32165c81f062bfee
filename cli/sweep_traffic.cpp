#include "sweep_traffic.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "progress.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/serving/capacity.h"
#include "regroup/version.h"
#include "replay_text.h"

namespace regroup {

SweepTraffic::SweepTraffic(const TrafficFlags& flags, std::vector<int64_t> kv_heads, uint64_t seed)
    : flags_(flags), traffic_(flags), kv_heads_(std::move(kv_heads)) {
  for (const int64_t n : kv_heads_) require_cache_heads(traffic_.layout(), n);
  require_devices(traffic_.layout(), traffic_.settings().devices);
  kv_heads_.push_back(traffic_.layout().n_kv_heads);
  std::sort(kv_heads_.begin(), kv_heads_.end(), std::greater<>());
  kv_heads_.erase(std::unique(kv_heads_.begin(), kv_heads_.end()), kv_heads_.end());
  std::string why;
  for (const int64_t n : kv_heads_) {
    why = why_left_out(n);
    if (why.empty()) break;
  }
  if (!why.empty()) {
    throw ConfigError(
        {.code = "REPLAY_MEMORY",
         .message = fmt::format("one of the numbers of KV heads at least must be served "
                                "by the devices, found none: {}",
                                why),
         .hint = "give more memory or other devices, or leave the traffic out"});
  }
  traffic_.load(seed);
}

std::string SweepTraffic::why_left_out(int64_t n_kv_heads) const {
  const int64_t devices = traffic_.settings().devices;
  if (!traffic_.divides(n_kv_heads)) {
    return fmt::format("{} KV heads and {} devices do not divide", n_kv_heads, devices);
  }
  try {
    traffic_.require_memory(n_kv_heads);
  } catch (const ConfigError& error) {
    if (error.info().code != "REPLAY_MEMORY") throw;
    return error.info().message;
  }
  return {};
}

/// Everything that decides the results of all numbers of KV heads.
std::string SweepTraffic::fingerprint() const {
  const ReplayReport report = describe_replay(traffic_, flags_.gpu_price);
  const Json key = {
      {"version", kVersion},
      {"trace", trace_digest(traffic_.trace())},
      {"config", sha256_of_file(config_path_of(flags_.served.model))},
      {"weights", traffic_.model_at(traffic_.layout().n_kv_heads).device_weight_bytes},
      {"settings", replay_report_json(report).at("settings")}};
  return sha256_of_text(key.dump());
}

namespace {

/// Options of an earlier replay with the same fingerprint.
Json kept_options(const std::string& path, const Json& fingerprint) {
  if (!path_exists(path)) return Json::array();
  Json before;
  try {
    before = read_strict_json(path, kManifestJson);
  } catch (const CheckpointError&) {
    return Json::array();  // what is made again need not be read
  }
  const bool same = before.is_object() && before.value("fingerprint", Json()) == fingerprint &&
                    before.contains("options") && before["options"].is_array();
  return same ? before["options"] : Json::array();
}

Json find_option(const Json& options, int64_t n_kv_heads) {
  for (const Json& option : options) {
    if (option.is_object() && option.value("n_kv_heads", Json()) == n_kv_heads) return option;
  }
  return {};
}

}  // namespace

Json SweepTraffic::simulate(const std::string& path, bool quiet) const {
  const ReplayReport report = describe_replay(traffic_, flags_.gpu_price);
  Json replay = replay_report_json(report);
  replay["fingerprint"] = fingerprint();
  replay["left_out"] = Json::array();
  const std::string unfinished = path + ".partial";
  Json kept = kept_options(path, replay["fingerprint"]);
  for (Json& option : kept_options(unfinished, replay["fingerprint"])) {
    kept.push_back(std::move(option));
  }
  ProgressLine line("replay", quiet);
  const Stopwatch watch;
  double done = 0;
  for (const int64_t n : kv_heads_) {
    if (std::string why = why_left_out(n); !why.empty()) {
      replay["left_out"].push_back({{"n_kv_heads", n}, {"why", std::move(why)}});
      continue;
    }
    Json option = find_option(kept, n);
    if (option.is_null()) {
      const auto tell = [&](double share) {
        line.share((done + share) / static_cast<double>(kv_heads_.size()), watch.seconds(),
                   fmt::format("{} KV head{}", n, n == 1 ? "" : "s"));
      };
      option = replay_option_json(replay_option(traffic_.replay_at(n, tell), report.server));
      replay["options"].push_back(std::move(option));
      write_file_atomically(unfinished, replay.dump(1) + "\n");
    } else {
      replay["options"].push_back(std::move(option));
    }
    ++done;
  }
  write_file_atomically(path, replay.dump(1) + "\n");
  ::unlink(unfinished.c_str());
  return replay;
}

void add_traffic(const Json& replay, std::vector<SweepPoint>& points) {
  for (SweepPoint& point : points) {
    point.traffic = find_option(replay.at("options"), point.n_kv_heads);
  }
}

}  // namespace regroup
