#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "calibration_flags.h"
#include "command.h"
#include "progress.h"
#include "regroup/checkpoint/documents.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/checkpoint/quantity.h"
#include "regroup/checkpoint/stop_signal.h"
#include "regroup/checkpoint/text.h"
#include "regroup/convert/converted_decoder.h"
#include "regroup/eval/damage.h"
#include "regroup/eval/text_eval.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"
#include "table.h"

namespace regroup {
namespace {

constexpr int64_t kLayerTokens = 8192;

struct CompareFlags {
  std::string model;
  std::vector<std::string> methods = {"mean", "align-norm", "pca"};
  std::vector<int64_t> kv_heads;
  std::string text;
  std::string eval_seq_len;
  std::string max_tokens;
  bool per_layer = false;
  std::string layer_tokens;
  CalibrationFlags calibration;
  std::string out;
};

/// A folder that goes with this object.
class TemporaryFolder {
 public:
  /// In `parent`, or where the system keeps temporary files when that is empty.
  explicit TemporaryFolder(std::string parent) {
    std::error_code error;
    if (parent.empty()) parent = std::filesystem::temp_directory_path(error);
    path_ = parent + "/regroup-compare-XXXXXX";
    if (error || ::mkdtemp(path_.data()) == nullptr) {
      throw OutputError({.code = "OUTPUT_PARENT",
                         .message = "no temporary folder can be made for the calibrated layers",
                         .path = path_,
                         .tensor = {},
                         .hint = "name a folder with --scratch"});
    }
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

ConvertOptions options_of(const CompareFlags& flags, const Globals& globals,
                          const std::string& method, int64_t n_kv_heads) {
  ConvertOptions options;
  options.model = flags.model;
  options.method = parse_method(method);
  options.n_kv_heads = n_kv_heads;
  apply_calibration_flags(flags.calibration, globals, /*other_text=*/true, options);
  if (!may_regroup(options.method)) options.grouping = Grouping::kContiguous;
  if (options.method == Method::kRandom) options.calibration = {};  // a control: drawn, not fitted
  return options;
}

TransformRequest request_of(const ModelConfig& parent, const ConvertOptions& options) {
  if (options.method != Method::kRandom) return transform_request(parent, options);
  require_kv_heads(parent, options.n_kv_heads);
  return {.method = options.method,
          .grouping = Grouping::kContiguous,
          .n_kv_heads = options.n_kv_heads,
          .seed = options.seed,
          .calibration = {}};
}

TokenStream read_text(const CompareFlags& flags, const ModelConfig& config) {
  const Tokenizer tokenizer = Tokenizer::open(flags.model);
  require_vocabulary(tokenizer, config.vocab_size, flags.model);
  const int64_t most = flags.max_tokens.empty() ? 0 : parse_count(flags.max_tokens, "--max-tokens");
  TokenStream stream = read_text_stream(
      flags.text, tokenizer,
      {.field = flags.calibration.field, .separator = parse_separator(flags.calibration.separator)},
      most);
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

int64_t layer_tokens(const CompareFlags& flags) {
  return flags.layer_tokens.empty() ? kLayerTokens
                                    : parse_count(flags.layer_tokens, "--layer-tokens");
}

/// Everything that stays the same from one conversion to the next.
class Comparison {
 public:
  Comparison(const CompareFlags& flags, const Globals& globals, const ModelFolder& model)
      : flags_(flags),
        globals_(globals),
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
      if (!flags_.out.empty()) {  // what is measured stays, whatever comes later
        write_file_atomically(
            flags_.out,
            damage_json(report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
      }
    }
    progress_.text(fmt::format("{} conversions measured", conversions.size()), /*last=*/true);
    return report;
  }

 private:
  DamageReport describe() {
    const std::vector<TextScore> scores = score_text({&parent_}, -1, stream_, windows_, false);
    const Dtype stored = model_.locate(model_.tensors().front().name).info->dtype;
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
    const TransformRequest request = request_of(model_.config(), options);
    std::unique_ptr<TemporaryFolder> layers;
    if (!options.calibration.files.empty()) {
      layers = std::make_unique<TemporaryFolder>(options.calibration.scratch);
    }
    const Calibrated calibrated = decide(request, layers ? layers->path() : "");
    DamageEntry entry{
        .method = method_name(options.method),
        .grouping = may_regroup(options.method) ? grouping_name(options.grouping) : "",
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

  Calibrated decide(const TransformRequest& request, const std::string& layers_folder) {
    try {
      return decide_conversion(model_, request, layers_folder, [&](int64_t layer, int64_t n) {
        progress_.text(fmt::format("  {}: calibrate layer {}/{}", doing_, layer, n));
      });
    } catch (const StoppedError&) {
      throw_if_stopped(/*resumable=*/false);  // its layers go with this process
      throw;
    }
  }

  std::pair<TextScore, Fidelity> score(const Decoder& decoder, const TokenStream& stream,
                                       const std::string& what) {
    std::vector<TextScore> scores = score_text(
        {&parent_, &decoder}, 0, stream, windows_, false, [&](int64_t done, int64_t all) {
          progress_.text(fmt::format("  {}: {}, {} of {} windows", doing_, what, done, all));
        });
    const Fidelity found = fidelity(scores[1], scores[0]);
    return {std::move(scores[1]), found};
  }

  void score_whole(const Decoder& decoder, DamageEntry& entry) {
    const auto [whole, found] = score(decoder, stream_, "evaluate");
    entry.loss = measured(loss_estimate(whole));
    entry.loss_delta = measured(found.loss_delta);
    entry.kl = measured(found.kl);
    entry.agreement = measured(found.agreement);
  }

  void score_layers(const TransformRequest& request, const Calibrated& calibrated,
                    DamageEntry& entry) {
    entry.layers.resize(static_cast<size_t>(model_.config().n_layers));
    for (int64_t l = 0; l < model_.config().n_layers; ++l) {
      throw_if_stopped(/*resumable=*/false);
      const Decoder mixed = with_one_layer_converted(model_, parent_, request, calibrated, l);
      const Fidelity found = score(mixed, part_, fmt::format("layer {} alone", l)).second;
      entry.layers[static_cast<size_t>(l)].loss_delta = measured(found.loss_delta);
      entry.layers[static_cast<size_t>(l)].kl = measured(found.kl);
    }
  }

  const CompareFlags& flags_;
  const Globals& globals_;
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

std::string estimate_cell(const Measured& value, const char* format) {
  std::string text = fmt::format(fmt::runtime(format), value.value);
  if (value.error) text += " ± " + fmt::format(fmt::runtime(format), *value.error);
  return text;
}

std::string damage_table(const DamageReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"method", "grouping", "KV heads", "loss", "loss - before", "KL", "top-1", "seconds"}};
  rows.push_back({"before", "", std::to_string(report.n_kv_heads),
                  estimate_cell(report.loss, "{:.4f}"), "", "", "", ""});
  for (const DamageEntry& entry : report.entries) {
    rows.push_back({entry.method, entry.grouping, std::to_string(entry.n_kv_heads),
                    estimate_cell(entry.loss, "{:.4f}"), estimate_cell(entry.loss_delta, "{:.4f}"),
                    estimate_cell(entry.kl, "{:.4f}"), estimate_cell(entry.agreement, "{:.4f}"),
                    fmt::format("{:.1f}", entry.seconds)});
  }
  return format_table(rows);
}

/// Which layers cost most where each was measured alone, for the best method of each size.
std::string layer_lines(const DamageReport& report) {
  std::string text;
  for (const DamageEntry* entry : best_entries(report)) {
    const std::optional<double> sum = sum_of_layers(*entry);
    if (!sum || entry->n_kv_heads == report.n_kv_heads) continue;
    std::vector<size_t> order(entry->layers.size());
    for (size_t l = 0; l < order.size(); ++l) order[l] = l;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return entry->layers[a].kl->value > entry->layers[b].kl->value;
    });
    text += fmt::format("{} KV head{}, {}: layers alone add up to {:.4f} nats; costliest:",
                        entry->n_kv_heads, entry->n_kv_heads == 1 ? "" : "s", entry->method, *sum);
    for (size_t i = 0; i < std::min<size_t>(3, order.size()); ++i) {
      text += fmt::format(" layer {} (KL {:.4f})", order[i], entry->layers[order[i]].kl->value);
    }
    text += "\n";
  }
  return text;
}

std::vector<ConvertOptions> conversions_of(const CompareFlags& flags, const Globals& globals,
                                           const ModelConfig& config) {
  if (flags.per_layer && !flags.calibration.calibration.empty() &&
      flags.calibration.layer_inputs != "parent") {
    throw ConfigError({.code = "FLAG_VALUE",
                       .message = "--per-layer puts each layer between the parent's: it needs "
                                  "layers that were fitted on the parent's outputs",
                       .path = {},
                       .tensor = {},
                       .hint = "add --layer-inputs parent"});
  }
  std::vector<int64_t> kv_heads = flags.kv_heads;
  std::sort(kv_heads.begin(), kv_heads.end(), std::greater<>());
  kv_heads.erase(std::unique(kv_heads.begin(), kv_heads.end()), kv_heads.end());
  std::vector<ConvertOptions> conversions;
  std::vector<std::string> methods;
  for (const std::string& method : flags.methods) {
    if (std::find(methods.begin(), methods.end(), method) == methods.end()) {
      methods.push_back(method);
    }
  }
  for (const int64_t n : kv_heads) {
    for (const std::string& method : methods) {
      conversions.push_back(options_of(flags, globals, method, n));
      request_of(config, conversions.back());
    }
  }
  return conversions;
}

void check_compare(const CompareFlags& flags, const Globals& globals) {
  if (!flags.out.empty() && !is_folder(parent_folder(flags.out))) {
    throw ConfigError({.code = "OUTPUT_PARENT",
                       .message = "the folder of --out must exist",
                       .path = flags.out,
                       .tensor = {},
                       .hint = "create the folder first"});
  }
  if (!flags.max_tokens.empty()) parse_count(flags.max_tokens, "--max-tokens");
  if (!flags.eval_seq_len.empty()) parse_context(flags.eval_seq_len, "--seq-len");
  if (!flags.layer_tokens.empty() && !flags.per_layer) {
    throw ConfigError({.code = "FLAG_MISSING",
                       .message = "--layer-tokens means something only with --per-layer",
                       .path = {},
                       .tensor = {},
                       .hint = "add --per-layer, or leave it out"});
  }
  if (layer_tokens(flags) < 2) {
    throw ConfigError({.code = "FLAG_VALUE",
                       .message = "--layer-tokens must be at least 2, found 1",
                       .path = {},
                       .tensor = {},
                       .hint = "one token is predicted from those before it"});
  }
  require_text_file(flags.text);
  const ModelFolder model = ModelFolder::open(flags.model);
  conversions_of(flags, globals, model.config());
}

CommandOutput run_compare(const CompareFlags& flags, const Globals& globals) {
  check_compare(flags, globals);
  const ModelFolder model = ModelFolder::open(flags.model);
  for (const std::string& notice : model.notices()) spdlog::info("{}", notice);
  const DamageReport report =
      Comparison(flags, globals, model).run(conversions_of(flags, globals, model.config()));
  CommandOutput output;
  output.json = damage_json(report);
  output.text = damage_table(report) + layer_lines(report);
  if (!flags.out.empty()) {
    output.text += fmt::format("wrote {}; `regroup report {} --out damage.html` draws it\n",
                               printable(flags.out), printable(flags.out));
  }
  return output;
}

}  // namespace

void add_compare_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<CompareFlags>(
      root, invocation, "compare", "Measure what conversions would cost, without writing any",
      run_compare, check_compare);
  add_model(*command, flags->model)->required();
  command
      ->add_option("--methods", flags->methods, "Methods to compare: " + join(method_names(), ", "))
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--kv-heads", flags->kv_heads, "Numbers of key/value heads to compare")
      ->delimiter(',')
      ->required();
  command->add_option("--text", flags->text, "Held-out text (.txt, .jsonl) to measure the loss on")
      ->required();
  command->add_option("--seq-len", flags->eval_seq_len,
                      "Tokens a window predicts; left out: the model's context, at most 2048");
  command->add_option("--max-tokens", flags->max_tokens, "Use the first N tokens of the text");
  command->add_flag("--per-layer", flags->per_layer,
                    "Also measure every layer converted alone, the others as they were");
  command->add_option("--layer-tokens", flags->layer_tokens,
                      fmt::format("Tokens of the text for that; left out: {}", kLayerTokens));
  add_calibration_flags(*command, flags->calibration);
  command->add_option("--out", flags->out,
                      "Write the result to this JSON file, for report and plan");
}

}  // namespace regroup
