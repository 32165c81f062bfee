#include <fmt/format.h>

#include <algorithm>

#include "command.h"
#include "comparison.h"
#include "flag_values.h"
#include "notices.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/text/documents.h"
#include "table.h"
#include "text_files.h"
#include "torch_part.h"

namespace regroup {
namespace {

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

std::string cell(const Measured& value) {
  return format_estimate(value.value, value.error, "{:.4f}");
}

std::string damage_table(const DamageReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"method", "grouping", "KV heads", "loss", "loss - before", "KL", "top-1", "seconds"}};
  rows.push_back(
      {"before", "", std::to_string(report.n_kv_heads), cell(report.loss), "", "", "", ""});
  for (const DamageEntry& entry : report.entries) {
    rows.push_back({entry.method, entry.grouping, std::to_string(entry.n_kv_heads),
                    cell(entry.loss), cell(entry.loss_delta), cell(entry.kl), cell(entry.agreement),
                    fmt::format("{:.1f}", entry.seconds)});
  }
  return format_table(rows, 3);
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

/// Where the best conversion of each size loses.
std::string place_lines(const DamageReport& report) {
  std::string text;
  for (const DamageEntry* entry : best_entries(report)) {
    if (entry->n_kv_heads == report.n_kv_heads) continue;
    text += damage_lines(fmt::format("{} KV head{}, {}", entry->n_kv_heads,
                                     entry->n_kv_heads == 1 ? "" : "s", entry->method),
                         entry->profile);
  }
  return text;
}

std::vector<ConvertOptions> conversions_of(const CompareFlags& flags, const Globals& globals,
                                           const ModelConfig& config) {
  if (flags.per_layer && !flags.calibration.calibration.empty() &&
      (flags.calibration.layer_inputs != "parent" ||
       flags.calibration.distill_steps.value_or(0) > 0)) {
    throw ConfigError({.code = "FLAG_VALUE",
                       .message = "--per-layer puts each layer between the parent's: it needs "
                                  "layers that were fitted on the parent's outputs, each alone",
                       .hint = "add --layer-inputs parent, leave out --distill-steps"});
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
      comparison_request(config, conversions.back());
    }
  }
  return conversions;
}

void check_compare(const CompareFlags& flags, const Globals& globals) {
  if (!flags.out.empty()) {
    std::vector<std::string> inputs = flags.calibration.calibration;
    inputs.insert(inputs.end(), {flags.model, flags.text, flags.calibration.statistics});
    check_output_file(flags.out, "--out", inputs);
    check_output_file(unfinished_comparison(flags.out), "what is measured so far, beside --out,",
                      inputs);
  }
  if (!flags.max_tokens.empty()) parse_count(flags.max_tokens, "--max-tokens");
  if (!flags.eval_seq_len.empty()) parse_context(flags.eval_seq_len, "--seq-len");
  if (!flags.layer_tokens.empty() && !flags.per_layer) {
    throw ConfigError({.code = "FLAG_MISSING",
                       .message = "--layer-tokens means something only with --per-layer",
                       .hint = "add --per-layer, or leave it out"});
  }
  if (layer_tokens(flags) < 2) {
    throw ConfigError({.code = "FLAG_VALUE",
                       .message = "--layer-tokens must be at least 2, found 1",
                       .hint = "one token is predicted from those before it"});
  }
  if (!flags.text.ends_with(".bin")) {
    require_text_file(flags.text, "rename it if it holds text; token files end in .bin");
  }
  const ModelFolder model = ModelFolder::open(flags.model);
  conversions_of(flags, globals, model.config());
}

CommandOutput run_compare(const CompareFlags& flags, const Globals& globals) {
  check_compare(flags, globals);
  std::vector<std::string> texts = flags.calibration.calibration;
  texts.push_back(flags.text);
  warn_if_separator_missing(flags.calibration.documents, texts);
  const ModelFolder model = ModelFolder::open(flags.model);
  log_notices(model);
  const DamageReport report =
      measure_damage(flags, globals, model, conversions_of(flags, globals, model.config()));
  CommandOutput output;
  output.json = damage_json(report);
  output.text = damage_table(report) + place_lines(report) + layer_lines(report);
  if (!flags.out.empty()) {
    output.text += fmt::format("wrote {}; `regroup report {} --out damage.html` draws it\n",
                               printable(flags.out), printable(flags.out));
  }
  return output;
}

}  // namespace

int64_t layer_tokens(const CompareFlags& flags) {
  return flags.layer_tokens.empty() ? kLayerTokens
                                    : parse_count(flags.layer_tokens, "--layer-tokens");
}

ConvertOptions comparison_request(const ModelConfig& parent, const ConvertOptions& options) {
  if (options.method != Method::kRandom) return options_for(parent, options);
  require_kv_heads(parent, options.n_kv_heads);
  return options;
}

void add_compare_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<CompareFlags>(
      root, invocation, "compare", "Measure what conversions would cost, without writing any",
      run_compare, check_compare);
  add_model(*command, flags->model)->required();
  command
      ->add_option("--methods", flags->methods, "Methods to compare: " + join(method_names(), ", "))
      ->type_name(kMethod)
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--kv-heads", flags->kv_heads, "Numbers of key/value heads to compare")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number())
      ->required();
  command
      ->add_option("--text", flags->text,
                   "Held-out text (.txt, .jsonl) or token file (.bin) to measure the loss on")
      ->type_name(kFile)
      ->required();
  command->add_option("--seq-len", flags->eval_seq_len,
                      "Tokens a window predicts; left out: the model's context, at most 2048");
  command->add_option("--max-tokens", flags->max_tokens, "Use the first N tokens of the text");
  command->add_flag("--per-layer", flags->per_layer,
                    "Also measure every layer converted alone, the others as they were");
  command->add_option("--layer-tokens", flags->layer_tokens,
                      fmt::format("Tokens of the text for that; left out: {}", kLayerTokens));
  add_calibration_flags(*command, flags->calibration);
  command
      ->add_option("--out", flags->out, "Write the result to this JSON file, for report and plan")
      ->type_name(kFile);
}

}  // namespace regroup
