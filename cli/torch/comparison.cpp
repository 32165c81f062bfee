#include "comparison.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <memory>

#include "calibration_progress.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/output_file.h"
#include "regroup/base/quantity.h"
#include "regroup/base/stop_signal.h"
#include "regroup/calibration/converted_decoder.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/eval/text_eval.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"
#include "regroup/text/documents.h"

namespace regroup {
namespace {

/// A folder that goes with this object.
class TemporaryFolder {
 public:
  /// In `parent`, or where the system keeps temporary files when that is empty.
  explicit TemporaryFolder(std::string parent) {
    std::error_code error;
    if (parent.empty()) parent = std::filesystem::temp_directory_path(error);
    path_ = parent + "/regroup-compare-XXXXXX";
    if (!error && ::mkdtemp(path_.data()) != nullptr) return;
    const int error_number = error ? error.value() : errno;
    if (error_number != ENOENT && error_number != ENOTDIR) {
      throw_output_error(error_number, "make a folder for the calibrated layers in", parent);
    }
    throw OutputError({.code = "OUTPUT_PARENT",
                       .message = "must be a folder, for the calibrated layers",
                       .path = parent,
                       .hint = "name another folder with --scratch"});
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TokenStream read_text(const CompareFlags& flags, const ModelConfig& config) {
  const int64_t max = flags.max_tokens.empty() ? 0 : parse_count(flags.max_tokens, "--max-tokens");
  if (!is_text_file(flags.text)) {
    TokenStream stream = read_token_stream(flags.text, TokenFormat::kAuto, config.vocab_size, max);
    require_window(stream);
    return stream;
  }
  const Tokenizer tokenizer =
      open_tokenizer(flags.model, config.vocab_size, flags.calibration.documents);
  TokenStream stream = read_text_stream(flags.text, tokenizer, flags.calibration.documents, max);
  require_window(stream);
  return stream;
}

Measured measured(const Estimate& estimate) {
  return {estimate.value,
          std::isfinite(estimate.stderr_) ? std::optional(estimate.stderr_) : std::nullopt};
}

TokenStream first_tokens(const TokenStream& stream, int64_t count) {
  TokenStream first = stream;
  first.ids.resize(std::min(first.ids.size(), static_cast<size_t>(count)));
  return first;
}

/// Everything that stays the same from one conversion to the next.
class Comparison {
 public:
  Comparison(const CompareFlags& flags, const Globals& globals, const ModelFolder& model)
      : flags_(flags),
        model_(model),
        device_(open_device(globals.device)),
        stream_(read_text(flags, model.config())),
        windows_({.seq_len = eval_seq_len(flags.eval_seq_len, model.config()), .batch_size = 0}),
        parent_(load_decoder(model, at::kFloat, device_)),
        progress_("compare", globals.quiet) {
    if (flags.per_layer) {
      part_ = first_tokens(stream_, layer_tokens(flags));
    }
  }

  DamageReport run(const std::vector<ConvertOptions>& conversions) {
    DamageReport report = describe();
    for (size_t i = 0; i < conversions.size(); ++i) {
      throw_if_stopped(/*resumable=*/false);
      doing_ = fmt::format("{}/{} {} to {} heads", i + 1, conversions.size(),
                           method_name(conversions[i].method), conversions[i].n_kv_heads);
      report.entries.push_back(measure(conversions[i], report));
      if (!flags_.out.empty()) write(report, /*whole=*/i + 1 == conversions.size());
    }
    const size_t n = conversions.size();
    progress_.text(fmt::format(": {} conversion{} measured", n, n == 1 ? "" : "s"), /*last=*/true);
    return report;
  }

 private:
  /// What is measured stays, whatever comes later; under the file's own name once it is all.
  void write(const DamageReport& report, bool whole) const {
    const std::string unfinished = unfinished_comparison(flags_.out);
    write_file_atomically(
        whole ? flags_.out : unfinished,
        damage_json(report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    if (whole) ::unlink(unfinished.c_str());
  }

  DamageReport describe() {
    const std::vector<TextScore> scores =
        score_text({&parent_}, -1, stream_, windows_, false,
                   [](int64_t, int64_t) { throw_if_stopped(/*resumable=*/false); });
    const Dtype stored = model_.dtype(model_.tensors().front().name);
    kv_bits_ = dtype_bits(stored);
    return {.model = flags_.model,
            .digest = model_digest(model_),
            .text = stream_.name,
            .tokens = static_cast<int64_t>(stream_.ids.size()) - 1,
            .seq_len = windows_.seq_len,
            .layer_tokens = flags_.per_layer ? static_cast<int64_t>(part_.ids.size()) - 1 : 0,
            .n_layers = model_.config().n_layers,
            .head_dim = model_.config().head_dim,
            .source = !flags_.calibration.calibration.empty()  ? "text"
                      : !flags_.calibration.statistics.empty() ? "statistics"
                                                               : "weights",
            .calibration_tokens = 0,
            .n_kv_heads = model_.config().n_kv_heads,
            .kv_bytes_per_token =
                kv_bytes_per_token(model_.config(), model_.config().n_kv_heads, kv_bits_),
            .loss = measured(loss_estimate(scores[0])),
            .entries = {}};
  }

  DamageEntry measure(const ConvertOptions& options, DamageReport& report) {
    const Stopwatch watch;
    const ConvertOptions request = comparison_request(model_.config(), options);
    std::unique_ptr<TemporaryFolder> layers;
    if (!options.calibration.files.empty()) {
      layers = std::make_unique<TemporaryFolder>(options.calibration.scratch);
    }
    const Calibrated calibrated = decide(request, layers ? layers->path() : "");
    DamageEntry entry{
        .method = method_name(options.method),
        .grouping = may_regroup(options.method) ? grouping_name(options.chosen_grouping()) : "",
        .n_kv_heads = options.n_kv_heads,
        .kv_bytes_per_token = kv_bytes_per_token(model_.config(), options.n_kv_heads, kv_bits_),
        .loss = {},
        .loss_delta = {},
        .kl = {},
        .agreement = {},
        .flops = calibrated.flops,
        .seconds = watch.seconds(),
        .layers = {}};
    report.calibration_tokens = std::max(report.calibration_tokens, calibrated.tokens);
    for (const LayerReport& layer : calibrated.layers) {
      if (options.method == Method::kRandom) continue;  // no residual is predicted
      entry.layers.push_back({.key_residual = layer.key_residual,
                              .value_residual = layer.value_residual,
                              .loss_delta = {},
                              .kl = {}});
    }
    score_whole(converted_decoder(model_, parent_, request, calibrated), entry);
    if (flags_.per_layer) score_layers(request, calibrated, entry);
    return entry;
  }

  Calibrated decide(const ConvertOptions& request, const std::string& layers_folder) {
    try {
      CalibrationProgress progress;
      if (!request.calibration.files.empty()) {
        progress = calibration_progress(progress_, doing_);
      } else {
        progress.decides = layer_progress(progress_, doing_);
      }
      return decide_conversion(model_, request, layers_folder, progress);
    } catch (const StoppedError&) {
      throw_if_stopped(/*resumable=*/false);  // its layers go with this process
      throw;
    }
  }

  /// The scores of the parent and of `decoder`.
  std::vector<TextScore> score(const Decoder& decoder, const TokenStream& stream,
                               const std::string& what) {
    return score_text(
        {&parent_, &decoder}, 0, stream, windows_, false, [&](int64_t done, int64_t all) {
          throw_if_stopped(/*resumable=*/false);
          progress_.text(fmt::format("  {}: {}, {} of {} windows", doing_, what, done, all));
        });
  }

  void score_whole(const Decoder& decoder, DamageEntry& entry) {
    const std::vector<TextScore> scores = score(decoder, stream_, "evaluate");
    const Fidelity found = fidelity(scores[1], scores[0]);
    entry.loss = measured(loss_estimate(scores[1]));
    entry.loss_delta = measured(found.loss_delta);
    entry.kl = measured(found.kl);
    entry.agreement = measured(found.agreement);
    entry.profile = damage_profile(scores[1], scores[0], windows_.seq_len);
  }

  void score_layers(const ConvertOptions& request, const Calibrated& calibrated,
                    DamageEntry& entry) {
    entry.layers.resize(static_cast<size_t>(model_.config().n_layers));
    for (int64_t l = 0; l < model_.config().n_layers; ++l) {
      throw_if_stopped(/*resumable=*/false);
      const Decoder mixed = with_one_layer_converted(model_, parent_, request, calibrated, l);
      const std::vector<TextScore> scores = score(mixed, part_, fmt::format("layer {} alone", l));
      const Fidelity found = fidelity(scores[1], scores[0]);
      entry.layers[static_cast<size_t>(l)].loss_delta = measured(found.loss_delta);
      entry.layers[static_cast<size_t>(l)].kl = measured(found.kl);
    }
  }

  const CompareFlags& flags_;
  const ModelFolder& model_;
  at::Device device_;
  TokenStream stream_;
  TokenStream part_;  // of it, for single layers
  WindowOptions windows_;
  Decoder parent_;
  int64_t kv_bits_ = 16;
  std::string doing_;
  ProgressLine progress_;
};

}  // namespace

DamageReport measure_damage(const CompareFlags& flags, const Globals& globals,
                            const ModelFolder& model,
                            const std::vector<ConvertOptions>& conversions) {
  return Comparison(flags, globals, model).run(conversions);
}

}  // namespace regroup
