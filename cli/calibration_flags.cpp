#include "calibration_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "flag_values.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"
#include "regroup/base/words.h"
#include "regroup/text/document_settings.h"
#include "regroup/text/documents.h"
#include "setting_flags.h"

namespace regroup {
namespace {

bool parse_switch(const std::string& text, const char* flag) {
  if (text == "on") return true;
  if (text == "off") return false;
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("{} must be on or off, found {}", flag, printable(text)),
       .hint = "leave it out for the better one measured"});
}

bool parse_layer_inputs(const std::string& text) {
  if (text == "converted") return true;
  if (text == "parent") return false;
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("--layer-inputs must be converted or parent, found {}",
                                            printable(text)),
                     .hint = "leave it out for converted, the better one measured"});
}

/// Flags that say how files are read. @param other_text  beside the calibration's there are others to read
std::vector<std::pair<const char*, bool>> reading_flags(const CalibrationFlags& flags,
                                                        bool other_text) {
  const CalibrationFlags plain;
  return {{"--field", !other_text && flags.documents.field != plain.documents.field},
          {"--field-separator", !other_text && !flags.documents.field_separator.empty()},
          {"--document-separator", !other_text && !flags.documents.separator.empty()},
          {"--parse-special-tokens", !other_text && flags.documents.parse_special_tokens},
          {"--chat-date", !other_text && !flags.documents.chat_date.empty()}};
}

/// Flags that mean nothing without text are refused without it.
void refuse_without_text(const CalibrationFlags& flags, bool other_text) {
  const CalibrationFlags plain;
  std::vector<std::pair<const char*, bool>> given = {
      {"--calibration-tokens", !flags.tokens.empty()},
      {"--calibration-seq-len", !flags.seq_len.empty()},
      {"--calibration-first-tokens", flags.first_tokens.has_value()},
      {"--layer-inputs", flags.layer_inputs != plain.layer_inputs},
      {"--refit-output", flags.refit_output != plain.refit_output},
      {"--layer-steps", flags.layer_steps.has_value()},
      {"--layer-step-tokens", !flags.step_tokens.empty()},
      {"--layer-batch", flags.layer_batch.has_value()},
      {"--calibration-budget", !flags.budget.empty()},
      {"--pretraining-tokens", !flags.pretraining_tokens.empty()},
      {"--layer-lr", flags.layer_lr.has_value()},
      {"--distill-steps", flags.distill_steps.has_value()},
      {"--distill-lr", flags.distill_lr.has_value()},
      {"--scratch", !flags.scratch.empty()}};
  for (const auto& flag : reading_flags(flags, other_text)) given.push_back(flag);
  for (const auto& [flag, is_given] : given) {
    if (is_given) refuse_without_calibration(flag);
  }
}

[[noreturn]] void refuse_budget(const std::string& message, const std::string& hint) {
  throw ConfigError({.code = "FLAG_MISSING", .message = message, .hint = hint});
}

/// "1%" -> 0.01.
double parse_share(const std::string& text) {
  double percent = 0;
  const char* end = text.data() + text.size() - 1;
  const auto [rest, error] = std::from_chars(text.data(), end, percent);
  if (error == std::errc() && rest == end && percent > 0 && percent <= 100) return percent / 100;
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("--calibration-budget must be a time such as 10min, or "
                                            "a share such as 1%, found {}",
                                            printable(text)),
                     .hint = "shares are of the FLOPs of --pretraining-tokens, at most 100%"});
}

/// A time. Who wrote none may have meant a share.
double parse_seconds(const std::string& text) {
  try {
    return parse_duration(text, "--calibration-budget");
  } catch (const ConfigError& error) {
    ErrorInfo info = error.info();
    info.hint += "; or a share of --pretraining-tokens, such as 1%";
    throw ConfigError(info);
  }
}

CalibrationBudget parse_budget(const CalibrationFlags& flags) {
  CalibrationBudget budget;
  const bool share = flags.budget.ends_with('%');
  if (!share && !flags.pretraining_tokens.empty()) {
    refuse_budget("--pretraining-tokens needs a --calibration-budget that is a share of them",
                  "give --calibration-budget 1%, or leave it out");
  }
  if (flags.budget.empty()) return budget;
  if (share && flags.pretraining_tokens.empty()) {
    refuse_budget("--calibration-budget as a share needs the tokens that it is a share of",
                  "give --pretraining-tokens N, or a time such as --calibration-budget 10min");
  }
  budget.spreads_tokens = flags.tokens.empty();
  budget.spreads_steps = !flags.layer_steps.has_value();
  budget.spreads_distill = !flags.distill_steps.has_value();
  if (!budget.spreads_tokens && !budget.spreads_steps) {
    throw ConfigError({.code = "METHOD_COMBINATION",
                       .message = "--calibration-budget has nothing to decide beside both "
                                  "--calibration-tokens and --layer-steps",
                       .hint = "leave out one of the three"});
  }
  if (share) {
    budget.share = parse_share(flags.budget);
    budget.pretraining_tokens = parse_count(flags.pretraining_tokens, "--pretraining-tokens");
  } else {
    budget.seconds = parse_seconds(flags.budget);
  }
  return budget;
}

void refuse_own_text_beside_files(const std::vector<std::string>& files) {
  if (files.size() < 2 || std::find(files.begin(), files.end(), kOwnText) == files.end()) return;
  throw ConfigError({.code = "METHOD_COMBINATION",
                     .message = "--calibration self stands alone: the model writes all of the text",
                     .hint = "leave it out, or the files; a file of that name is ./self"});
}

/// Nothing is read where the model writes the text.
void refuse_reading_flags(const CalibrationFlags& flags, bool other_text) {
  for (const auto& [flag, is_given] : reading_flags(flags, other_text)) {
    if (!is_given) continue;
    throw ConfigError(
        {.code = "METHOD_COMBINATION",
         .message = fmt::format("{} needs a file to read, found --calibration self", flag),
         .hint = "leave it out; a file of that name is ./self"});
  }
}

CalibrationOptions calibration_options(const CalibrationFlags& flags, const Globals& globals,
                                       bool other_text) {
  CalibrationOptions options;
  options.files = flags.calibration;
  refuse_own_text_beside_files(options.files);
  if (options.reads_own_text()) refuse_reading_flags(flags, other_text);
  options.documents = flags.documents;
  if (!flags.tokens.empty()) {
    options.tokens = parse_count(flags.tokens, "--calibration-tokens");
  }
  if (!flags.seq_len.empty()) {
    options.seq_len = parse_count(flags.seq_len, "--calibration-seq-len");
  }
  options.sequential = parse_layer_inputs(flags.layer_inputs);
  options.refit_output = parse_switch(flags.refit_output, "--refit-output");
  if (flags.layer_steps) options.layer_steps = *flags.layer_steps;
  if (flags.layer_batch) options.layer_batch = *flags.layer_batch;
  if (!flags.step_tokens.empty()) {
    options.step_tokens = parse_count(flags.step_tokens, "--layer-step-tokens");
  }
  options.budget = parse_budget(flags);
  options.layer_lr = flags.layer_lr;
  options.distill_steps = flags.distill_steps;
  options.distill_lr = flags.distill_lr;
  if (flags.first_tokens) options.first_tokens = *flags.first_tokens;
  options.scratch = flags.scratch;
  options.statistics = flags.statistics;
  options.device = globals.device == "auto" ? "cpu" : globals.device;
  return options;
}

}  // namespace

void refuse_without_calibration(const char* flag) {
  throw ConfigError(
      {.code = "FLAG_MISSING",
       .message = fmt::format("{} needs text to work on, found no --calibration", flag),
       .hint = "give --calibration FILE, or leave it out"});
}

void apply_calibration_flags(const CalibrationFlags& flags, const Globals& globals, bool other_text,
                             ConvertOptions& options) {
  if (flags.calibration.empty()) refuse_without_text(flags, other_text);
  if (!flags.grouping.empty()) options.grouping = parse_grouping(flags.grouping);
  options.logit_gain = parse_gain(flags.logit_gain, "--logit-gain");
  options.output_gain = parse_gain(flags.output_gain, "--output-gain");
  options.calibration = calibration_options(flags, globals, other_text);
  options.seed = globals.seed;
}

void add_calibration_flags(CLI::App& command, CalibrationFlags& flags) {
  const auto add = [&](const char* name, auto& value, const std::string& what) {
    return command.add_option(name, value, what);
  };
  add("--grouping", flags.grouping,
      "Which heads form a group: " + join(grouping_names(), ", ") +
          "; left out: the best measured one for the method")
      ->type_name(kGrouping);
  add("--calibration", flags.calibration,
      "Text (.txt, .jsonl, .json, also .gz, .zst; .parquet) or token files to measure the model "
      "on; self: "
      "text "
      "that the model writes itself")
      ->type_name(kFile);
  add("--calibration-tokens", flags.tokens, "Most tokens to use; left out: 40k");
  add("--calibration-seq-len", flags.seq_len,
      "Tokens a window; left out: 512, less where the model or the text is shorter");
  add("--calibration-first-tokens", flags.first_tokens,
      fmt::format(
          "Tokens of the vocabulary that layers are fitted on besides, each alone as the first "
          "token of a text; at most one to four tokens of text; 0: none; left out: {}",
          kFirstTokens))
      ->check(whole_number(0, 1000000));
  add("--calibration-budget", flags.budget,
      "What calibration may take at most, such as 10min, or 1% of the FLOPs of pretraining; it "
      "becomes --calibration-tokens and --layer-steps before it starts");
  add("--pretraining-tokens", flags.pretraining_tokens,
      "Tokens the model was trained on, for a budget in %");
  visit_settings(flags.documents, SettingFlags(command));
  add("--layer-inputs", flags.layer_inputs,
      "What a layer is fitted on: the output of the converted layers below it (converted) or the "
      "parent's (parent)")
      ->type_name(words({"converted", "parent"}))
      ->capture_default_str();
  add("--refit-output", flags.refit_output,
      "Fit the output projection to the parent's attention by least squares")
      ->type_name(words({"on", "off"}))
      ->capture_default_str();
  add("--layer-steps", flags.layer_steps,
      fmt::format("Most training steps a layer on the parent's attention output, fewer where "
                  "held-out windows gain no more; 0: none; left out: {}",
                  kLayerSteps))
      ->check(whole_number(0, 1000000));
  add("--layer-step-tokens", flags.step_tokens,
      "Tokens of text of such a step; left out: 2048, or as few as 512 in large models");
  add("--layer-batch", flags.layer_batch, "The same in windows")->check(whole_number(1, 1000000));
  add("--layer-lr", flags.layer_lr,
      "Size of such a step relative to the weights it changes; left out: 0.01, or 0.04 in "
      "models less than 512 wide")
      ->check(number(0.0, 1.0));
  add("--distill-steps", flags.distill_steps,
      "Training steps of all layers together on the parent's next-token distribution, after the "
      "last layer; the whole model is in memory then; left out: what 1.4e13 FLOPs pay for, at most "
      "64, in models small enough for 8, where layers are trained one by one")
      ->check(whole_number(0, 1000000));
  add("--distill-lr", flags.distill_lr,
      "Size of such a step relative to the weights it changes; left out: 0.005 through the "
      "root of the number of layers")
      ->check(number(0.0, 1.0));
  add("--scratch", flags.scratch, "Folder for activations that should not be held in memory")
      ->type_name(kFolder);
  add("--logit-gain", flags.logit_gain,
      "Restore the spread of attention logits (pca): on, off, or auto: as held-out text "
      "decides where the closed form is all, else on")
      ->type_name(words({"on", "off", "auto"}))
      ->capture_default_str();
  add("--output-gain", flags.output_gain,
      "Restore the energy of what each head adds to the residual stream (pca): on, off, "
      "or auto: on without text, as held-out text decides where the closed form is all, else off")
      ->type_name(words({"on", "off", "auto"}))
      ->capture_default_str();
  add("--statistics", flags.statistics, "Moments of an earlier calibration instead of text")
      ->type_name(kFile);
}

}  // namespace regroup
