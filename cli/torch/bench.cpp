#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>

#include "bench_flags.h"
#include "bench_text.h"
#include "notices.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/output_file.h"
#include "regroup/base/printable.h"
#include "regroup/base/processors.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/mlp_sizes.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/eval/machine_speed.h"
#include "regroup/eval/model_speed.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"
#include "regroup/serving/roofline.h"
#include "regroup/version.h"
#include "torch_part.h"

namespace regroup {
namespace {

constexpr int64_t kDefaultContext = 2048;

/// A model as it is, or with fewer KV heads.
struct Contestant {
  std::string path;
  Decoder decoder;
};

/// All that is measured of a contestant at one point.
struct Figures {
  std::vector<double> step_s = {};
  std::vector<double> prefill_s = {};
  int64_t kv_bytes = 0;
  int64_t step_allocated_bytes = 0;
};

/// Beside others a model of fewer heads is left out where it cannot have as many.
std::vector<int64_t> kv_heads_of(const BenchFlags& flags, const ModelConfig& config) {
  std::vector<int64_t> all = {config.n_kv_heads};
  for (const int64_t n : flags.kv_heads) {
    if (n == config.n_kv_heads || (flags.models.size() > 1 && n > config.n_kv_heads)) continue;
    require_kv_heads(config, n);
    all.push_back(n);
  }
  std::sort(all.begin(), all.end(), std::greater<>());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

class SpeedBench {
 public:
  SpeedBench(const BenchFlags& flags, const Globals& globals)
      : flags_(flags), globals_(globals), device_(open_device(globals.device)) {
    for (const std::string& path : flags.models) {
      folders_.push_back(ModelFolder::open(path));
      log_notices(folders_.back());
      kv_heads_of(flags, folders_.back().config());
    }
    for (const int64_t n : flags.kv_heads) require_someone_with(n);
    const ModelFolder& first = folders_.front();
    dtype_ = parse_compute_dtype(flags.dtype, device_, first.dtype(first.tensors().front().name));
    choose_points();
    require_room();
  }

  SpeedReport run() {
    spdlog::info("measuring what the machine can do");
    machine_ = measure_machine(device_, dtype_);
    load();
    figures_.resize(points_.size() * contestants_.size());
    announce();
    ProgressLine line("bench", globals_.quiet);
    double done_s = 0;
    const double all_s = forecast();
    for (size_t p = 0; p < points_.size(); ++p) {
      // Contestants take turns, so that a clock that drifts does not favour one.
      for (int64_t r = 0; r < flags_.repetitions; ++r) {
        for (size_t c = 0; c < contestants_.size(); ++c) {
          measure(p, c, r);
          done_s += forecast(points_[p], contestants_[c].decoder);
          line.work(done_s, all_s, doing(points_[p], contestants_[c]));
        }
      }
    }
    return report();
  }

 private:
  void require_someone_with(int64_t n_kv_heads) const {
    const auto most = std::ranges::max_element(
        folders_, {}, [](const ModelFolder& folder) { return folder.config().n_kv_heads; });
    if (n_kv_heads > most->config().n_kv_heads) require_kv_heads(most->config(), n_kv_heads);
  }

  void choose_points() {
    int64_t longest = INT64_MAX;
    for (const ModelFolder& folder : folders_) {
      longest = std::min(longest, longest_context(folder.config()));
    }
    std::vector<int64_t> contexts = bench_contexts(flags_);
    if (contexts.empty()) {
      contexts = {std::clamp<int64_t>(longest - flags_.new_tokens, 1, kDefaultContext)};
    }
    for (const int64_t context : contexts) {
      if (context + flags_.new_tokens > longest) {
        spdlog::warn("{} tokens and {} new ones are more than the {} that a model is made for",
                     context, flags_.new_tokens, longest);
      }
      for (const int64_t batch : flags_.batch) points_.push_back({batch, context});
    }
  }

  int64_t kv_bits() const { return static_cast<int64_t>(at::elementSize(dtype_)) * 8; }

  /// Weights of all models at once, and the largest cache.
  void require_room() const {
    int64_t weights = 0;
    int64_t cache = 0;
    for (const ModelFolder& folder : folders_) {
      weights += count_parameters(folder.config()) * kv_bits() / 8;
      const CacheLayout layout = cache_layout_of(folder.config());
      for (const SpeedPoint& point : points_) {
        const int64_t one = cache_bytes(layout, point.context + flags_.new_tokens, kv_bits());
        cache =
            std::max(cache, one > INT64_MAX / 4 / point.batch ? INT64_MAX / 4 : one * point.batch);
      }
    }
    const auto warning = require_memory(weights + cache, device_,
                                        "bench: give a smaller `batch` or `context`, or fewer "
                                        "models");
    if (warning) spdlog::warn("{}", *warning);
  }

  void load() {
    for (const ModelFolder& folder : folders_) {
      const Decoder whole = load_decoder(folder, dtype_, device_);
      for (const int64_t n : kv_heads_of(flags_, folder.config())) {
        const bool as_it_is = n == folder.config().n_kv_heads;
        contestants_.push_back({folder.path(), as_it_is ? whole : with_first_heads(whole, n)});
      }
    }
  }

  /// A decode step halfway through a repetition, as the machine could do it at best.
  Roofline roofline_of(const SpeedPoint& point, const Decoder& decoder) const {
    const CacheLayout layout = cache_layout_of(decoder.config());
    CapacityRequest request;
    request.batch = point.batch;
    request.context = point.context + flags_.new_tokens / 2;
    request.kv_bits = request.weight_bits = kv_bits();
    const int64_t kv_bytes = cache_bytes(layout, request.context, kv_bits()) * point.batch;
    const Gpu machine{.name = {},
                      .product = {},
                      .memory_bytes = 0,
                      .bandwidth_bytes_per_s = machine_.bandwidth(),
                      .flops_per_s = machine_.flops_per_s};
    return decode_roofline(layout, request, read_weight_bytes(decoder), kv_bytes, machine);
  }

  /// Seconds of one repetition, by what machines usually reach of the roofline.
  double forecast(const SpeedPoint& point, const Decoder& decoder) const {
    constexpr double kReached = 0.6;
    const auto steps = static_cast<double>(flags_.new_tokens + 2);
    const double tokens = static_cast<double>(prefilled_at_once(point) * point.context);
    const double weights = static_cast<double>(read_weight_bytes(decoder)) *
                           expert_use(decoder.config()).computed() * 8 /
                           static_cast<double>(kv_bits());
    const double prefill = flags_.no_prefill ? 0 : 2 * weights * tokens / machine_.flops_per_s;
    return (steps * roofline_of(point, decoder).seconds + prefill) / kReached;
  }

  double forecast() const {
    double all_s = 0;
    for (const SpeedPoint& point : points_) {
      for (const Contestant& contestant : contestants_) {
        all_s += static_cast<double>(flags_.repetitions) * forecast(point, contestant.decoder);
      }
    }
    return all_s;
  }

  void announce() const {
    spdlog::info("{} model{} at {} point{}, {} repetitions: about {}", contestants_.size(),
                 contestants_.size() == 1 ? "" : "s", points_.size(),
                 points_.size() == 1 ? "" : "s", flags_.repetitions, human_seconds(forecast()));
  }

  static std::string doing(const SpeedPoint& point, const Contestant& contestant) {
    const int64_t heads = contestant.decoder.config().n_kv_heads;
    return fmt::format("{} KV head{}, batch {}, context {}", heads, heads == 1 ? "" : "s",
                       point.batch, point.context);
  }

  Figures& figures(size_t point, size_t contestant) {
    return figures_[point * contestants_.size() + contestant];
  }

  void measure(size_t p, size_t c, int64_t repetition) {
    const Decoder& decoder = contestants_[c].decoder;
    const SpeedPoint& point = points_[p];
    Figures& found = figures(p, c);
    const DecodeSpeed speed =
        measure_decode(decoder, point,
                       {.new_tokens = flags_.new_tokens,
                        .warm_up = repetition == 0 ? SpeedSettings{}.warm_up : 2,
                        .seed = globals_.seed});
    found.step_s.insert(found.step_s.end(), speed.step_s.begin(), speed.step_s.end());
    found.kv_bytes = speed.kv_bytes;
    found.step_allocated_bytes = speed.step_allocated_bytes;
    if (!flags_.no_prefill) {
      found.prefill_s.push_back(measure_prefill(decoder, point, globals_.seed));
    }
  }

  SpeedRun run_of(size_t p, size_t c) {
    const SpeedPoint& point = points_[p];
    const Decoder& decoder = contestants_[c].decoder;
    Figures& found = figures(p, c);
    const Roofline roofline = roofline_of(point, decoder);
    SpeedRun run{.model = contestants_[c].path,
                 .n_kv_heads = decoder.config().n_kv_heads,
                 .batch = point.batch,
                 .context = point.context,
                 .prefill_tokens_per_s = {},
                 .decode = decode_rate(found.step_s, point.batch),
                 .step_s = found.step_s,
                 .kv_bytes_computed =
                     point.batch * cache_bytes(cache_layout_of(decoder.config()),
                                               point.context + flags_.new_tokens, kv_bits()),
                 .kv_bytes_measured = found.kv_bytes,
                 .step_allocated_bytes = found.step_allocated_bytes,
                 .step_bytes = roofline.bytes,
                 .step_flops = roofline.flops,
                 .memory_bound = roofline.memory_bound,
                 .roofline_tokens_per_s = roofline.tokens_per_s};
    run.bandwidth_fraction = run.decode.median / static_cast<double>(point.batch) * roofline.bytes /
                             machine_.bandwidth();
    if (!found.prefill_s.empty()) {
      const int64_t sequences = prefilled_at_once(point);
      run.prefill_sequences = sequences;
      run.prefill_tokens_per_s =
          static_cast<double>(point.context) * decode_rate(found.prefill_s, sequences).median;
    }
    return run;
  }

  SpeedReport report() {
    SpeedReport report{.device = device_description(device_),
                       .processor = processor_name(),
                       .dtype = compute_dtype_name(dtype_),
                       .version = kVersion,
                       .threads = get_threads(),
                       .new_tokens = flags_.new_tokens,
                       .repetitions = flags_.repetitions,
                       .copy_bytes_per_s = machine_.copy_bytes_per_s,
                       .read_bytes_per_s = machine_.read_bytes_per_s,
                       .flops_per_s = machine_.flops_per_s,
                       .runs = {}};
    for (size_t p = 0; p < points_.size(); ++p) {
      for (size_t c = 0; c < contestants_.size(); ++c) {
        report.runs.push_back(run_of(p, c));
        warn_of_copies(report.runs.back());
      }
    }
    compare_speeds(report.runs);
    return report;
  }

  /// Keys and values that are repeated for every query head would undo what fewer KV heads bring.
  static void warn_of_copies(const SpeedRun& run) {
    constexpr int64_t kLarge = int64_t{64} << 20;
    if (run.step_allocated_bytes <= std::max(run.kv_bytes_measured, kLarge)) return;
    spdlog::warn(
        "{} KV heads, batch {}, context {}: a step allocates {} beside a cache of {}: "
        "keys and values are copied",
        run.n_kv_heads, run.batch, run.context, human_bytes(run.step_allocated_bytes),
        human_bytes(run.kv_bytes_measured));
  }

  const BenchFlags& flags_;
  const Globals& globals_;
  at::Device device_;
  at::ScalarType dtype_ = at::kFloat;
  std::vector<ModelFolder> folders_;
  std::deque<Contestant> contestants_;
  std::vector<SpeedPoint> points_;
  std::vector<Figures> figures_;  // [points][contestants]
  MachineSpeed machine_;
};

}  // namespace

CommandOutput run_bench(const BenchFlags& flags, const Globals& globals) {
  if (!flags.out.empty()) check_output_file(flags.out, "--out", flags.models);
  const SpeedReport report = SpeedBench(flags, globals).run();
  CommandOutput output;
  output.json = speed_json(report);
  output.text = bench_text(report);
  if (!flags.out.empty()) write_file_atomically(flags.out, output.json.dump(2) + "\n");
  return output;
}

}  // namespace regroup
