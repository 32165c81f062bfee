#include "eval_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "flag_values.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/compute_names.h"
#include "regroup/tasks/probe_settings.h"
#include "regroup/tasks/task_settings.h"
#include "regroup/text/document_settings.h"
#include "regroup/text/documents.h"
#include "regroup/text/token_file.h"
#include "regroup/text/token_stream.h"
#include "setting_flags.h"
#include "text_files.h"
#include "torch_part.h"

namespace regroup {

namespace {

bool hides_needles_in_text(const ProbeDefinition* probe) {
  return probe->haystack == Haystack::kText;
}

void check_probe_text(const EvalFlags& flags) {
  const std::string& path = flags.probe_options.text;
  if (path.empty()) return;
  const auto chosen = choose_probes(flags.probes);
  if (std::none_of(chosen.begin(), chosen.end(), hides_needles_in_text)) {
    std::vector<std::string> names;
    for (const ProbeDefinition* probe : probe_definitions()) {
      if (hides_needles_in_text(probe)) names.emplace_back(probe->name);
    }
    throw ConfigError(
        {.code = "FLAG_VALUE",
         .message = fmt::format("--probe-text needs a --probe that hides its needles "
                                "in a text: {}; found {}",
                                join(names, ", "),
                                flags.probes.empty() ? "none" : join(flags.probes, ", ")),
         .hint = "leave it out, or give one of them or all"});
  }
  require_text_file(path);
  InputFile{path};
}

}  // namespace

void check_eval(const EvalFlags& flags, const Globals&) {
  if (!flags.token_nll.empty() &&
      (flags.models.size() > 1 || flags.text.size() + flags.tokens.size() != 1)) {
    throw ConfigError(
        {.code = "FLAG_VALUE", .message = "--token-nll needs exactly one model and one text"});
  }
  if (flags.text.empty() && flags.tokens.empty() && flags.tasks.empty() && flags.probes.empty()) {
    throw ConfigError(
        {.code = "FLAG_MISSING",
         .message = "nothing to evaluate on: give --text, --tokens, --task or --probe",
         .hint = "for example --text valid.txt"});
  }
  if (!flags.samples.empty() && flags.tasks.empty()) {
    throw ConfigError({.code = "FLAG_VALUE",
                       .message = "--samples needs a --task, whose items it holds",
                       .hint = "leave it out, or give --task"});
  }
  if (flags.task_options.fewshot_as_singleturn && !flags.task_options.apply_chat_template) {
    throw ConfigError({.code = "FLAG_CONFLICT",
                       .message = "--fewshot-as-singleturn needs --apply-chat-template, found none",
                       .hint = "leave it out, or give the other too"});
  }
  require_compute_dtype_name(flags.dtype);
  if (!flags.seq_len.empty()) parse_context(flags.seq_len, "--seq-len");
  if (!flags.max_tokens.empty()) parse_count(flags.max_tokens, "--max-tokens");
  if (flags.batch_size != "auto") parse_count(flags.batch_size, "--batch-size");
  for (const std::string& path : flags.text) {
    require_text_file(path, "rename it if it holds text, or give a token file to --tokens");
    InputFile{path};
  }
  for (const std::string& path : flags.tokens) TokenFile(path, flags.token_format);
  check_probe_text(flags);
  std::set<std::string> names;
  for (const auto* files : {&flags.text, &flags.tokens}) {
    for (const std::string& path : *files) names.insert(stream_name(path));
  }
  for (const ProbeDefinition* probe : choose_probes(flags.probes)) {
    if (names.insert(std::string(probe->name)).second) continue;
    throw ConfigError({.code = "FLAG_VALUE",
                       .message = fmt::format("a text and a --probe must have two names, found {} "
                                              "for both",
                                              probe->name),
                       .hint = "rename the file"});
  }
  for (const std::string& task : flags.tasks) {
    require_task(task, flags.task_options);
    const std::string name = is_task_file(task) ? stream_name(task) : task;
    if (names.insert(name).second) continue;
    throw ConfigError({.code = "FLAG_VALUE",
                       .message = fmt::format(
                           "each --task, --probe and text must have a name of its own, found {} "
                           "twice",
                           printable(name, 60)),
                       .hint = "rename one of the files, or measure them one after the other"});
  }
}

void add_eval_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<EvalFlags>(
      root, invocation, "eval",
      "Measure loss and fidelity to a baseline on text, and scores of tasks", run_eval, check_eval);
  command->add_option("MODEL,--models", flags->models, "Model folders")
      ->type_name(kFolder)
      ->required();
  command->add_option("--baseline", flags->baseline, "Model that KL and agreement refer to")
      ->type_name(kFolder);
  command->add_option("--text", flags->text, kTextFiles)->type_name(kFile);
  command->add_option("--tokens", flags->tokens, "Token files")->type_name(kFile);
  const SettingFlags visit(*command);
  visit({.name = "token-format", .help = "Format of token files"}, flags->token_format);
  visit_settings(flags->documents, visit);
  command->add_option("--seq-len", flags->seq_len,
                      "Tokens a window predicts; left out: the model's context, at most 2048");
  command->add_option("--max-tokens", flags->max_tokens, "Use the first N tokens of each text");
  command->add_option("--dtype", flags->dtype, "Dtype to compute in")
      ->type_name(words({"auto", "f32", "bf16", "f16"}))
      ->capture_default_str();
  command->add_option("--batch-size", flags->batch_size, "Windows or requests at once, or auto")
      ->capture_default_str();
  command
      ->add_option("--task", flags->tasks,
                   "Tasks by name, as lm-evaluation-harness calls them, or files of questions")
      ->type_name(kFile);
  visit_settings(flags->task_options, visit);
  command->add_option("--samples", flags->samples, "Write every question and its answers as JSONL")
      ->type_name(kFile);
  command
      ->add_option("--harness-out", flags->harness_out,
                   "Write lm-evaluation-harness's result and sample files below this folder")
      ->type_name(kFolder);
  command
      ->add_option("--probe", flags->probes,
                   "Synthetic tasks that ask for what stands in the context, or all")
      ->type_name("NAME");
  visit_settings(flags->probe_options, visit);
  command->add_option("--out", flags->out, "Write the results to this JSON file")->type_name(kFile);
  command->add_option("--token-nll", flags->token_nll, "Write every token's loss as safetensors")
      ->type_name(kFile);
}

}  // namespace regroup
