#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <map>

#include "calibration_flags.h"
#include "calibration_progress.h"
#include "command.h"
#include "flag_values.h"
#include "notices.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/host_memory.h"
#include "regroup/base/human_number.h"
#include "regroup/base/input_file.h"
#include "regroup/base/quantity.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/kv_heads.h"
#include "regroup/convert/calibration_sizes.h"
#include "regroup/convert/legality.h"
#include "regroup/convert/plan.h"
#include "regroup/results/conversion.h"
#include "regroup/text/token_stream.h"
#include "regroup/text/tokenizer.h"
#include "setting_flags.h"
#include "table.h"
#include "text_files.h"
#include "torch_part.h"

namespace regroup {
namespace {

struct ConvertFlags {
  std::string model;
  std::string out;
  std::vector<int64_t> kv_heads;  // one; a recipe of `run` may list several
  std::string method;
  CalibrationFlags calibration;
  std::string save_statistics;
  std::string dtype = ConvertOptions().dtype;
  std::string max_shard_size;
  ResumeMode resume = OutputOptions().resume;
  bool overwrite = false;
  bool dry_run = false;
  bool allow_nonfinite = false;
};

void refuse_gains_without_pca(const ConvertOptions& options) {
  const bool given = options.logit_gain != Gain::kAuto || options.output_gain != Gain::kAuto;
  if (!given || options.method == Method::kPca) return;
  throw ConfigError(
      {.code = "METHOD_COMBINATION",
       .message = fmt::format("--logit-gain and --output-gain belong to --method pca, "
                              "found --method {}",
                              method_name(options.method)),
       .hint = "leave them out, or choose --method pca"});
}

ConvertOptions to_options(const ConvertFlags& flags, const Globals& globals) {
  ConvertOptions options;
  options.model = flags.model;
  options.out = flags.out;
  if (flags.kv_heads.size() != 1) {
    throw ConfigError({.code = "KV_HEADS",
                       .message = fmt::format("--kv-heads must be one number, found {}",
                                              fmt::join(flags.kv_heads, ", ")),
                       .hint = "`regroup run` takes several"});
  }
  options.n_kv_heads = flags.kv_heads.front();
  if (!flags.method.empty()) options.method = parse_method(flags.method);
  apply_calibration_flags(flags.calibration, globals, /*other_text=*/false, options);
  refuse_gains_without_pca(options);
  if (!flags.save_statistics.empty() && flags.calibration.calibration.empty()) {
    refuse_without_calibration("--save-statistics");
  }
  options.calibration.save_statistics = flags.save_statistics;
  target_dtype(flags.dtype);  // a wrong one is refused before the model is opened
  options.dtype = flags.dtype;
  if (!flags.max_shard_size.empty()) {
    options.max_shard_bytes = parse_size(flags.max_shard_size, "--max-shard-size");
  }
  options.allow_nonfinite = flags.allow_nonfinite;
  options.output = {.overwrite = flags.overwrite, .resume = flags.resume};
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
      Row& row = rows[fmt::format("{}|{}", kind, action_name(tensor.action()))];
      ++row.tensors;
      row.before += read_bytes(model, tensor);
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

ConversionResult planned_result(const ConversionPlan& plan, const ConvertOptions& options) {
  return {.model = options.model,
          .out = options.out,
          .family = std::string(plan.stored.family->model_type),
          .written_as = std::string(plan.after.family->model_type),
          .method = method_name(options.method),
          .kv_heads_before = plan.before.n_kv_heads,
          .kv_heads_after = plan.after.n_kv_heads,
          .tensors_copied = plan.n_copied,
          .tensors_changed = plan.n_changed,
          .read_bytes = plan.read_bytes,
          .written_bytes = plan.written_bytes};
}

std::string headline(const ConversionPlan& plan, const ConvertOptions& options) {
  const int64_t before = plan.before.n_kv_heads;
  const int64_t after = plan.after.n_kv_heads;
  const std::string how = after > before
                              ? fmt::format("each {} times, the same model", after / before)
                              : fmt::format("method {}", method_name(options.method));
  const bool same_class = plan.after.family == plan.stored.family;
  const std::string written =
      same_class ? "" : fmt::format("; written as {}", plan.after.architecture);
  return fmt::format("{}: {} layers, {} query heads, {} -> {} key/value heads, {}{}\n",
                     plan.stored.architecture, plan.before.n_layers, plan.before.n_heads, before,
                     after, how, written);
}

std::string gains_line(const ConversionPlan& plan, const ConvertOptions& options) {
  const Gains& gains = plan.gains;
  const auto word = [](bool on) { return on ? "on" : "off"; };
  const bool open = options.logit_gain == Gain::kAuto || options.output_gain == Gain::kAuto;
  const CalibrationOptions& calibration = plan.request.calibration;
  const bool tried = open && !calibration.files.empty() && !calibration.refits();
  return fmt::format("logit gain {}, output gain {}{}\n", word(gains.logit), word(gains.output),
                     tried ? ", as held-out text decides" : "");
}

/// What held-out windows say, and one sentence where something is wrong.
std::string quality_lines(const ConversionPlan& plan) {
  if (!plan.quality) return "";
  const HeldOutQuality& q = *plan.quality;
  std::string text = fmt::format(
      "{} held-out windows: loss {:.4f} -> {:.4f}, KL {:.4f}, top-1 agreement {:.1f} %; the worst "
      "lost {:.2f} nats a token\n",
      q.rises.size(), q.parent_loss, q.loss, q.kl, 100 * q.same_top1, q.worst_rise());
  if (q.first_tokens) {
    const FirstTokenQuality& first = *q.first_tokens;
    text += fmt::format(
        "{} tokens, each alone at the first position: KL {:.4f}, the worst {:.2f}, {} above 2\n",
        first.tokens, first.kl, first.worst_kl, first.above_2_nats);
  }
  if (plan.before_distillation) {
    text += fmt::format("before all layers were trained together: loss {:.4f}, KL {:.4f}\n",
                        plan.before_distillation->loss, plan.before_distillation->kl);
  }
  if (q.collapsed() > 0) {
    text += fmt::format(
        "{} of these {} windows lost more than 2 nats a token: uptrain the model "
        "before you use it\n",
        q.collapsed(), q.rises.size());
  }
  return text;
}

/// Where moments come from for want of text, and what does better.
std::string vocabulary_line(const ConversionPlan& plan, const ConvertOptions& options) {
  const bool runs = needs_transforms(plan.before, options) &&
                    runs_vocabulary(options.method, options.calibration);
  if (!runs) return "";
  return fmt::format(
      "without text: moments of {} tokens drawn from the vocabulary; --calibration FILE "
      "(or self) keeps far more of the model\n",
      kVocabularyTokens);
}

std::string calibration_line(const ConversionPlan& plan) {
  if (plan.calibration_tokens == 0) return "";
  return fmt::format("calibrated on {} tokens, {:.3g} FLOPs\n",
                     human_count(static_cast<double>(plan.calibration_tokens)),
                     plan.calibration_flops) +
         quality_lines(plan);
}

CommandOutput dry_run(const ModelFolder& model, const ConversionPlan& plan,
                      const ConvertOptions& options) {
  CommandOutput output;
  ConversionResult result = planned_result(plan, options);
  result.dry_run = DryRun{.peak_memory_bytes = plan.peak_memory_bytes};
  for (const ShardPlan& shard : plan.shards) {
    result.dry_run->files.emplace_back(shard.name, shard.bytes);
  }
  output.json = conversion_result_json(result);
  output.text =
      headline(plan, options) + vocabulary_line(plan, options) + "\n" + plan_table(model, plan) +
      fmt::format("\n{} shard{}, {} to write ({} now), about {} of memory; nothing written\n",
                  plan.shards.size(), plan.shards.size() == 1 ? "" : "s",
                  human_bytes(plan.written_bytes), human_bytes(model.weight_bytes()),
                  human_bytes(plan.peak_memory_bytes));
  return output;
}

/// The default method mixes the channels of heads; where a model clips them one that does not takes its place.
ConvertOptions with_exact_method(const ConvertFlags& flags, ConvertOptions options,
                                 const ModelConfig& config) {
  const bool exact = why_illegal(options.method, options.chosen_grouping(), config).empty();
  if (!flags.method.empty() || !config.clip_qkv || exact) return options;
  options.method = Method::kWeighted;
  return options;
}

void check_convert(const ConvertFlags& flags, const Globals& globals) {
  const ModelFolder model = ModelFolder::open_as_written(flags.model);
  plan_conversion(model, with_exact_method(flags, to_options(flags, globals), model.config()));
}

void warn_of_memory(const ConversionPlan& plan, const ConvertOptions& options) {
  const std::optional<int64_t> there = host_memory();
  if (!there || plan.peak_memory_bytes <= *there) return;
  const CalibrationOptions& calibration = options.calibration;
  CalibrationOptions one_by_one = calibration;
  one_by_one.distill_steps = 0;
  const bool fits_one_by_one = distill_steps(plan.before, calibration) > 0 &&
                               calibration_memory(plan.before, one_by_one) <= *there;
  const char* hint =
      calibration.files.empty()      ? "give --method mean"
      : fits_one_by_one              ? "give --distill-steps 0"
      : calibration.reads_own_text() ? "give a file with --calibration instead of self"
      : calibration.scratch.empty()  ? "give --scratch FOLDER, or use fewer --calibration-tokens"
                                     : "use fewer --calibration-tokens";
  spdlog::warn("{} needs about {} of memory, found {}; {}",
               calibration.files.empty() ? "merging" : "calibration",
               human_bytes(plan.peak_memory_bytes), human_bytes(*there), hint);
}

/// What the real run would find wrong with its text at once.
void require_text(const ModelFolder& model, const CalibrationOptions& calibration) {
  for (const std::string& path : calibration.text_files()) {
    if (is_text_file(path)) {
      const Tokenizer tokenizer =
          open_tokenizer(model.path(), model.config().vocab_size, calibration.documents);
      read_text_stream(path, tokenizer, calibration.documents, 1);
    } else {
      const InputFile tokens(path);
    }
  }
}

std::pair<ConversionPlan, ConvertResult> convert(const ModelFolder& model,
                                                 const ConvertOptions& options, ConversionPlan plan,
                                                 const ConvertProgress& progress) {
  if (needs_transforms(model.config(), options)) {
    return convert_by_weights(model, options, std::move(plan), progress);
  }
  ConvertResult result = execute_conversion(model, plan, options, progress.bytes);
  return {std::move(plan), std::move(result)};
}

Json finished_json(const ConversionPlan& plan, const ConvertResult& result,
                   const ConvertOptions& options, double seconds) {
  ConversionResult conversion = planned_result(plan, options);
  conversion.read_bytes = result.read_bytes;
  conversion.written_bytes = result.written_bytes;
  conversion.cost = ConversionCost{.seconds = seconds, .peak_rss_bytes = peak_rss_bytes()};
  for (const auto& [file, digest] : result.digests) conversion.digests.emplace_back(file, digest);
  conversion.calibration_tokens = plan.calibration_tokens;
  conversion.calibration_flops = plan.calibration_flops;
  conversion.resumed_files = result.resumed_files;
  if (options.method == Method::kPca && !plan.layers.empty()) {
    conversion.gains = ConversionGains{.logit = plan.gains.logit, .output = plan.gains.output};
  }
  Json json = conversion_result_json(conversion);
  // As the manifest has it: convert/ writes both.
  if (plan.calibration_tokens > 0 && plan.quality) {
    json["calibration"]["held_out"] = quality_json(*plan.quality);
  }
  if (plan.calibration_tokens > 0 && plan.before_distillation) {
    json["calibration"]["held_out_before_distillation"] = quality_json(*plan.before_distillation);
  }
  return json;
}

CommandOutput run_convert(const ConvertFlags& flags, const Globals& globals) {
  const Stopwatch watch;
  const ConvertOptions given = to_options(flags, globals);
  check_output(given);
  const ModelFolder model = ModelFolder::open_as_written(given.model);
  require_kv_heads_or_more(model.config(), given.n_kv_heads);
  const ConvertOptions options = with_exact_method(flags, given, model.config());
  const bool decides = needs_transforms(model.config(), options);
  if (!flags.dry_run && decides) {
    if (!has_torch()) options_for(model.config(), options);  // a mistake costs no loading
    require_torch("convert");
  }
  log_notices(model);
  warn_if_separator_missing(flags.calibration.documents, options.calibration.files);
  ConversionPlan made = plan_conversion(model, options);
  if (flags.dry_run || decides) warn_of_memory(made, options);
  if (flags.dry_run) {
    warn_of_engines(made.after);
    require_text(model, options.calibration);
    return dry_run(model, made, options);
  }

  ProgressLine progress("convert", globals.quiet);
  ConvertProgress shown;
  shown.bytes = [&](int64_t done, int64_t total) { progress.bytes(done, total); };
  if (!options.calibration.files.empty()) {
    shown.calibration = calibration_progress(progress, "");
  } else {
    shown.calibration.decides = layer_progress(progress, "");
  }
  const auto [plan, result] = convert(model, options, std::move(made), shown);
  for (const std::string& companion : plan.left_out) spdlog::warn("{}", companion);
  warn_of_engines(plan.after);
  const double seconds = watch.seconds();
  const bool gained = options.method == Method::kPca && !plan.layers.empty();
  CommandOutput output;
  output.json = finished_json(plan, result, options, seconds);
  output.text = headline(plan, options) + vocabulary_line(plan, options) + calibration_line(plan) +
                (gained ? gains_line(plan, options) : "") +
                fmt::format(
                    "{} tensors copied, {} changed; {} written in {:.2f} s, peak memory {}\n"
                    "{}\n",
                    plan.n_copied, plan.n_changed, human_bytes(result.written_bytes), seconds,
                    human_bytes(peak_rss_bytes()), options.out);
  return output;
}

}  // namespace

void add_convert_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<ConvertFlags>(
      root, invocation, "convert", "Merge the key/value heads of a checkpoint, or repeat them",
      run_convert, check_convert);
  add_model(*command, flags->model)->required();
  add_out(*command, flags->out, "Folder to create; must not exist")->required();
  command
      ->add_option(
          "--kv-heads", flags->kv_heads,
          "Key/value heads of OUT: a divisor of the model's, or a multiple, which repeats heads")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number())
      ->option_text("INT REQUIRED")
      ->required();
  command
      ->add_option("--method", flags->method,
                   "How the heads of a group merge: " + join(method_names(), ", ") +
                       "; left out: " + method_name(kDefaultMethod) + ", or " +
                       method_name(Method::kWeighted) + " for a model that clips its projections")
      ->type_name(kMethod);
  add_calibration_flags(*command, flags->calibration);
  command
      ->add_option("--save-statistics", flags->save_statistics,
                   "Keep the moments of this calibration in a file")
      ->type_name(kFile);
  command->add_option("--dtype", flags->dtype, "Dtype of the weights")
      ->type_name(words({"keep", "bf16", "f16", "f32"}))
      ->capture_default_str();
  command->add_option("--max-shard-size", flags->max_shard_size,
                      "Largest shard, such as 5GB; left out: shards as the model has them");
  const SettingFlags visit(*command);
  visit({.name = "resume", .help = "An interrupted run of the same conversion in OUT.partial"},
        flags->resume);
  command->add_flag("--overwrite", flags->overwrite, "Replace OUT once the new folder is complete");
  command->add_flag("--dry-run", flags->dry_run, "Print the plan and write nothing");
  command->add_flag("--allow-nonfinite", flags->allow_nonfinite,
                    "Convert weights that hold NaN or infinity");
}

}  // namespace regroup
