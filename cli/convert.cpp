#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <map>

#include "command.h"
#include "progress.h"
#include "regroup/checkpoint/documents.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/quantity.h"
#include "regroup/checkpoint/text.h"
#include "regroup/convert/plan.h"
#include "table.h"

namespace regroup {
namespace {

struct ConvertFlags {
  std::string model;
  std::string out;
  std::vector<int64_t> kv_heads;  // one; a recipe of `run` may list several
  std::string method;
  std::string grouping;
  std::vector<std::string> calibration;
  std::string calibration_tokens;
  std::string calibration_seq_len;
  std::string field = "text";
  std::string separator;
  std::string layer_inputs = "converted";
  std::string refit_output = "on";
  std::string logit_gain = "on";
  int64_t layer_steps = CalibrationOptions{}.layer_steps;
  int64_t layer_batch = CalibrationOptions{}.layer_batch;
  double layer_lr = CalibrationOptions{}.layer_lr;
  std::string scratch;
  std::string statistics;
  std::string save_statistics;
  std::string dtype = "keep";
  std::string max_shard_size;
  std::string resume = "auto";
  bool overwrite = false;
  bool dry_run = false;
  bool allow_nonfinite = false;
};

/// The best measured one, with and without text (docs/methods.md).
constexpr Method kDefaultMethod = Method::kPca;

Grouping default_grouping(Method method) {
  const bool plain = !reads_weights(method) || method == Method::kPrune;
  return plain ? Grouping::kContiguous : Grouping::kResidual;
}

bool parse_switch(const std::string& text, const char* flag) {
  if (text == "on") return true;
  if (text == "off") return false;
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("{} must be on or off, found {}", flag, printable(text)),
       .path = {},
       .tensor = {},
       .hint = "leave it out for on"});
}

bool parse_layer_inputs(const std::string& text) {
  if (text == "converted") return true;
  if (text == "parent") return false;
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("--layer-inputs must be converted or parent, found {}",
                                            printable(text)),
                     .path = {},
                     .tensor = {},
                     .hint = "leave it out for converted, the better one measured"});
}

/// Flags that mean nothing without text are refused without it.
void refuse_without_text(const ConvertFlags& flags) {
  const ConvertFlags plain;
  const std::pair<const char*, bool> given[] = {
      {"--calibration-tokens", !flags.calibration_tokens.empty()},
      {"--calibration-seq-len", !flags.calibration_seq_len.empty()},
      {"--field", flags.field != plain.field},
      {"--document-separator", !flags.separator.empty()},
      {"--layer-inputs", flags.layer_inputs != plain.layer_inputs},
      {"--refit-output", flags.refit_output != plain.refit_output},
      {"--layer-steps", flags.layer_steps != plain.layer_steps},
      {"--layer-batch", flags.layer_batch != plain.layer_batch},
      {"--layer-lr", flags.layer_lr != plain.layer_lr},
      {"--scratch", !flags.scratch.empty()},
      {"--save-statistics", !flags.save_statistics.empty()}};
  for (const auto& [flag, is_given] : given) {
    if (!is_given) continue;
    throw ConfigError(
        {.code = "FLAG_MISSING",
         .message = fmt::format("{} needs text to work on, found no --calibration", flag),
         .path = {},
         .tensor = {},
         .hint = "give --calibration FILE, or leave it out"});
  }
}

CalibrationOptions calibration_options(const ConvertFlags& flags, const Globals& globals) {
  if (flags.calibration.empty()) refuse_without_text(flags);
  CalibrationOptions options;
  options.files = flags.calibration;
  options.field = flags.field;
  options.separator = parse_separator(flags.separator);
  if (!flags.calibration_tokens.empty()) {
    options.tokens = parse_count(flags.calibration_tokens, "--calibration-tokens");
  }
  if (!flags.calibration_seq_len.empty()) {
    options.seq_len = parse_count(flags.calibration_seq_len, "--calibration-seq-len");
  }
  options.sequential = parse_layer_inputs(flags.layer_inputs);
  options.refit_output = parse_switch(flags.refit_output, "--refit-output");
  options.layer_steps = flags.layer_steps;
  options.layer_batch = flags.layer_batch;
  options.layer_lr = flags.layer_lr;
  options.scratch = flags.scratch;
  options.statistics = flags.statistics;
  options.save_statistics = flags.save_statistics;
  options.device = globals.device == "auto" ? "cpu" : globals.device;
  return options;
}

ConvertOptions to_options(const ConvertFlags& flags, const Globals& globals) {
  ConvertOptions options;
  options.model = flags.model;
  options.out = flags.out;
  if (flags.kv_heads.size() != 1) {
    throw ConfigError({.code = "KV_HEADS",
                       .message = fmt::format("--kv-heads must be one number, found {}",
                                              fmt::join(flags.kv_heads, ", ")),
                       .path = {},
                       .tensor = {},
                       .hint = "`regroup run` takes several"});
  }
  options.n_kv_heads = flags.kv_heads.front();
  options.method = flags.method.empty() ? kDefaultMethod : parse_method(flags.method);
  options.grouping =
      flags.grouping.empty() ? default_grouping(options.method) : parse_grouping(flags.grouping);
  options.logit_gain = parse_switch(flags.logit_gain, "--logit-gain");
  options.calibration = calibration_options(flags, globals);
  options.seed = globals.seed;
  options.dtype = flags.dtype;
  if (!flags.max_shard_size.empty()) {
    options.max_shard_bytes = parse_size(flags.max_shard_size, "--max-shard-size");
  }
  options.allow_nonfinite = flags.allow_nonfinite;
  options.output = {.overwrite = flags.overwrite, .resume = parse_resume_mode(flags.resume)};
  return options;
}

/// One row for each thing that happens to some tensors: what, how many, bytes before and after.
std::string plan_table(const ModelFolder& model, const ConversionPlan& plan) {
  struct Row {
    int64_t tensors = 0;
    int64_t before = 0;
    int64_t after = 0;
  };
  std::map<std::string, Row> rows;
  for (const ShardPlan& shard : plan.shards) {
    for (const TensorPlan& tensor : shard.tensors) {
      // "model.layers.3.self_attn.k_proj.weight" -> "self_attn.k_proj.weight"
      std::string kind = tensor.spec.name;
      if (tensor.layer >= 0) {
        const std::string number = fmt::format(".{}.", tensor.layer);
        kind = kind.substr(kind.find(number) + number.size());
      }
      Row& row = rows[fmt::format("{}|{}", kind, action_name(tensor.action))];
      ++row.tensors;
      row.before += model.locate(tensor.spec.name).info->bytes();
      row.after += tensor_bytes(tensor.spec.dtype, tensor.spec.shape);
    }
  }
  std::vector<std::vector<std::string>> table = {{"tensors", "what", "n", "before", "after"}};
  for (const auto& [key, row] : rows) {
    const size_t bar = key.find('|');
    table.push_back({key.substr(0, bar), key.substr(bar + 1), std::to_string(row.tensors),
                     human_bytes(row.before), human_bytes(row.after)});
  }
  return format_table(table);
}

Json plan_json(const ConversionPlan& plan, const ConvertOptions& options) {
  return {{"model", options.model},
          {"out", options.out},
          {"family", plan.before.family->model_type},
          {"method", method_name(options.method)},
          {"n_kv_heads", {{"before", plan.before.n_kv_heads}, {"after", plan.after.n_kv_heads}}},
          {"tensors", {{"copied", plan.n_copied}, {"changed", plan.n_changed}}},
          {"bytes", {{"read", plan.read_bytes}, {"written", plan.written_bytes}}}};
}

std::string headline(const ConversionPlan& plan, const ConvertOptions& options) {
  return fmt::format("{}: {} layers, {} query heads, {} -> {} key/value heads, method {}\n",
                     plan.before.architecture, plan.before.n_layers, plan.before.n_heads,
                     plan.before.n_kv_heads, plan.after.n_kv_heads, method_name(options.method));
}

CommandOutput dry_run(const ModelFolder& model, const ConversionPlan& plan,
                      const ConvertOptions& options) {
  CommandOutput output;
  output.json = plan_json(plan, options);
  output.json["dry_run"] = true;
  output.json["peak_memory_bytes"] = plan.peak_memory_bytes;
  output.json["files"] = Json::array();
  for (const ShardPlan& shard : plan.shards) {
    output.json["files"].push_back({{"path", shard.name}, {"bytes", shard.bytes}});
  }
  output.text =
      headline(plan, options) + "\n" + plan_table(model, plan) +
      fmt::format("\n{} shards, {} to write ({} now), about {} of memory; nothing written\n",
                  plan.shards.size(), human_bytes(plan.written_bytes),
                  human_bytes(model.weight_bytes()), human_bytes(plan.peak_memory_bytes));
  return output;
}

/// The plan as far as it is known before weights and text are read: which tensors change, not how.
ConversionPlan planned(const ModelFolder& model, const ConvertOptions& options) {
  if (!needs_transforms(model.config(), options)) return plan_conversion(model, options);
  transform_request(model.config(), options);
  return plan_conversion(model, options, placeholder_transforms(model.config(), options));
}

void check_convert(const ConvertFlags& flags, const Globals& globals) {
  const ConvertOptions options = to_options(flags, globals);
  planned(ModelFolder::open(options.model), options);
}

CommandOutput run_convert(const ConvertFlags& flags, const Globals& globals) {
  const Stopwatch watch;
  const ConvertOptions options = to_options(flags, globals);
  if (!flags.dry_run) check_output_path(options.out, options.model, options.output.overwrite);
  const ModelFolder model = ModelFolder::open(options.model);
  for (const std::string& notice : model.notices()) spdlog::info("{}", notice);
  if (flags.dry_run) return dry_run(model, planned(model, options), options);

  ProgressLine progress("convert", globals.quiet);
  const auto [plan, result] = convert_model(
      model, options,
      {.bytes = [&](int64_t done, int64_t total) { progress.bytes(done, total); },
       .calibration =
           [&](int64_t layer, int64_t n) {
             progress.text(fmt::format("calibrate  layer {}/{}", layer, n), layer == n);
           }});
  const double seconds = watch.seconds();
  CommandOutput output;
  output.json = plan_json(plan, options);
  output.json["bytes"] = {{"read", result.read_bytes}, {"written", result.written_bytes}};
  output.json["seconds"] = seconds;
  output.json["peak_rss_bytes"] = peak_rss_bytes();
  output.json["digests"] = Json::object();
  for (const auto& [file, digest] : result.digests) output.json["digests"][file] = digest;
  if (result.resumed_files > 0) output.json["resumed_files"] = result.resumed_files;
  output.text = headline(plan, options) +
                fmt::format(
                    "{} tensors copied, {} changed; {} written in {:.2f} s, peak memory {}\n"
                    "{}\n",
                    plan.n_copied, plan.n_changed, human_bytes(result.written_bytes), seconds,
                    human_bytes(peak_rss_bytes()), options.out);
  return output;
}

void add_calibration_flags(CLI::App& command, ConvertFlags& flags) {
  const auto add = [&](const char* name, auto& value, const char* what) {
    return command.add_option(name, value, what);
  };
  add("--calibration", flags.calibration,
      "Text (.txt, .jsonl) or token files to measure the model on");
  add("--calibration-tokens", flags.calibration_tokens, "Most tokens to use; left out: 40k");
  add("--calibration-seq-len", flags.calibration_seq_len,
      "Tokens a window; left out: the model's longest, at most 2048");
  add("--field", flags.field, "Key of a .jsonl line that holds the text")->capture_default_str();
  add("--document-separator", flags.separator,
      "Stands between the documents of a .txt file; \\n is a line feed");
  add("--layer-inputs", flags.layer_inputs,
      "What a layer is fitted on: the output of the converted layers below it (converted) or the "
      "parent's (parent)")
      ->capture_default_str();
  add("--refit-output", flags.refit_output,
      "Fit the output projection to the parent's attention by least squares: on or off")
      ->capture_default_str();
  add("--layer-steps", flags.layer_steps,
      "Training steps a layer on the parent's attention output; 0: none")
      ->check(CLI::Range(int64_t{0}, int64_t{1000000}))
      ->capture_default_str();
  add("--layer-batch", flags.layer_batch, "Windows of such a step")
      ->check(CLI::Range(int64_t{1}, int64_t{1000000}))
      ->capture_default_str();
  add("--layer-lr", flags.layer_lr, "Size of such a step relative to the weights it changes")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  add("--scratch", flags.scratch, "Folder for activations that should not be held in memory");
  add("--save-statistics", flags.save_statistics, "Keep the moments of this calibration in a file");
  add("--logit-gain", flags.logit_gain, "Restore the spread of attention logits (pca): on or off")
      ->capture_default_str();
  add("--statistics", flags.statistics, "Moments of an earlier calibration instead of text");
}

}  // namespace

void add_convert_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<ConvertFlags>(root, invocation, "convert",
                                                    "Merge the key/value heads of a checkpoint",
                                                    run_convert, check_convert);
  add_model(*command, flags->model)->required();
  add_out(*command, flags->out, "Folder to create; must not exist")->required();
  command
      ->add_option("--kv-heads", flags->kv_heads,
                   "Key/value heads to keep; must divide the model's")
      ->delimiter(',')
      ->required();
  command->add_option("--method", flags->method,
                      "How the heads of a group merge: " + join(method_names(), ", ") +
                          "; left out: " + method_name(kDefaultMethod));
  command->add_option("--grouping", flags->grouping,
                      "Which heads form a group: " + join(grouping_names(), ", ") +
                          "; left out: the best measured one for the method");
  add_calibration_flags(*command, *flags);
  command->add_option("--dtype", flags->dtype, "Dtype of the weights: keep, bf16, f16 or f32")
      ->capture_default_str();
  command->add_option("--max-shard-size", flags->max_shard_size,
                      "Largest shard, such as 5GB; left out: shards as the model has them");
  command
      ->add_option("--resume", flags->resume,
                   "An interrupted run of the same conversion: auto, required or never")
      ->capture_default_str();
  command->add_flag("--overwrite", flags->overwrite, "Replace OUT once the new folder is complete");
  command->add_flag("--dry-run", flags->dry_run, "Print the plan and write nothing");
  command->add_flag("--allow-nonfinite", flags->allow_nonfinite,
                    "Convert weights that hold NaN or infinity");
}

}  // namespace regroup
