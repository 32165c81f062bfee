#include <fmt/format.h>

#include <optional>
#include <span>

#include "eval_flags.h"
#include "eval_models.h"
#include "eval_probes.h"
#include "eval_tasks.h"
#include "eval_texts.h"
#include "harness_out.h"
#include "regroup/base/atomic_file.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/eval/eval_state.h"
#include "regroup/eval/results.h"
#include "regroup/model/runtime.h"
#include "regroup/model/simd.h"
#include "regroup/text/chat_template.h"
#include "regroup/version.h"
#include "table.h"
#include "text_files.h"
#include "torch_part.h"

namespace regroup {
namespace {

void add_requests(const std::vector<TokenRequest>& requests, Xxh3& hash) {
  for (const TokenRequest& request : requests) {
    hash.update(std::as_bytes(std::span(request.ids)));
    hash.update(std::as_bytes(std::span(&request.scored, 1)));
  }
}

/// What decides answers in words, beside the models.
void add_prompts(const Task& task, Xxh3& hash) {
  const auto add = [&hash](const std::string& text) {
    hash.update(std::as_bytes(std::span(text.data(), text.size() + 1)));
  };
  for (size_t i = 0; i < task.questions.size(); ++i) {
    add(task.requests[i].front().first);
    for (const std::string& stop : task.questions[i].until) add(stop);
    add(std::to_string(task.questions[i].max_new_tokens));
  }
}

/// Everything that decides the numbers, to the last bit.
Json state_key(const EvalModels& models, const std::vector<EvaluatedText>& texts,
               const std::vector<OpenedTask>& tasks, const std::vector<EvaluatedProbe>& probes,
               const EvalFlags& flags, const Globals& globals) {
  Json key = {{"version", kVersion},           {"libtorch", libtorch_version()},
              {"baseline", models.baseline()}, {"keep_nll", !flags.token_nll.empty()},
              {"device", globals.device},      {"threads", get_threads()},
              {"simd", simd_target()},         {"batch_size", flags.batch_size},
              {"models", Json::array()},       {"texts", Json::array()},
              {"tasks", Json::array()},        {"probes", Json::array()}};
  for (const EvaluatedProbe& probe : probes) {
    Xxh3 hash;
    for (const auto& cells : probe.cells) {
      for (const ProbeCell& cell : *cells) add_requests(cell.requests, hash);
    }
    key["probes"].push_back({{"name", probe.probe->name}, {"requests", hash.hex()}});
  }
  for (const EvalModel& model : models.all()) {
    key["models"].push_back({{"digest", model.info.digest},
                             {"dtype", model.info.dtype},
                             {"tokenizer", model.tokenizer}});
  }
  for (const OpenedTask& task : tasks) {
    Xxh3 hash;
    for (const auto& encoded : task.encoded) add_requests(encoded->requests, hash);
    if (task.evaluated.task.definition.kind == TaskKind::kGenerate) {
      add_prompts(task.evaluated.task, hash);
    }
    key["tasks"].push_back({{"name", task.evaluated.task.name}, {"requests", hash.hex()}});
  }
  for (const EvaluatedText& text : texts) {
    const auto ids = std::as_bytes(std::span(text.stream.ids));
    Xxh3 hash;
    hash.update(ids);
    key["texts"].push_back({{"ids", hash.hex()},
                            {"seq_len", text.windows.seq_len},
                            {"batch_size", text.windows.batch_size}});
  }
  return key;
}

std::string cell(const std::optional<Measured>& found) {
  return found ? format_estimate(found->value, found->error, "{:.4f}") : "-";
}

std::string texts_table(const Evaluation& evaluation) {
  std::vector<std::vector<std::string>> rows = {
      {"text", "model", "KV heads", "loss", "perplexity", "bits/byte", "KL", "top-1", "recovery"}};
  for (const ModelResult& model : evaluation.models) {
    for (const TextResult& text : model.texts) {
      const auto of = [&](const char* name) { return find_metric(text.metrics, name); };
      const auto perplexity = of(metric::kPerplexity);
      rows.push_back(
          {text.name, model.name, std::to_string(model.n_kv_heads), cell(of(metric::kLoss)),
           perplexity ? format_estimate(perplexity->value, perplexity->error, "{:.3f}") : "-",
           cell(of(metric::kBitsPerByte)), cell(of(metric::kKl)), cell(of(metric::kAgreement)),
           cell(of(metric::kRecovery))});
    }
  }
  return rows.size() > 1 ? format_table(rows, 3) : "";
}

std::string tasks_table(const Evaluation& evaluation) {
  std::vector<std::vector<std::string>> rows = {
      {"task", "model", "KV heads", "shots", "items", "metric", "+value"}};
  for (const ModelResult& model : evaluation.models) {
    const auto add = [&](const std::string& name, const std::optional<int64_t>& shots,
                         int64_t items, const std::string& title, const std::string& value) {
      rows.push_back({name, model.name, std::to_string(model.n_kv_heads),
                      shots ? std::to_string(*shots) : "-", std::to_string(items), title, value});
    };
    for (const TaskResult& task : model.tasks) {
      for (const Metric& metric : task.metrics) {
        const std::string title = metric_title(metric.name, metric.filter);
        add(task.name, task.n_shot, task.items,
            metric.filter == "none" ? metric.name
                                    : fmt::format("{} ({})", metric.name, metric.filter),
            cell(find_metric(task.metrics, title)));
      }
    }
    for (const ProbeResult& probe : model.probes) {
      add(probe.name, 0, probe.trials, "log_prob", cell(probe.log_prob));
      add(probe.name, 0, probe.trials, "acc", cell(probe.accuracy));
    }
  }
  return rows.size() > 1 ? format_table(rows, 3) : "";
}

std::string recovery_text(const std::optional<GapClosed>& recovery) {
  if (!recovery) return "-";
  return recovery->measurable ? fmt::format("{:.1f} %", 100 * recovery->value)
                              : "no measurable gap";
}

/// Task by task against the baseline, on the same questions.
std::string paired_table(const Evaluation& evaluation) {
  std::vector<std::vector<std::string>> rows = {{"task", "model", "metric", "against baseline",
                                                 "+95 %", "p (Holm)", "broken", "+mended",
                                                 "recovery"}};
  for (const ModelResult& model : evaluation.models) {
    if (!model.paired) continue;
    for (const TaskDifference& found : *model.paired) {
      const auto count = [](const std::optional<int64_t>& n) {
        return n ? std::to_string(*n) : "-";
      };
      rows.push_back({found.task, model.name, found.measure, cell(found.delta),
                      fmt::format("{:+.4f} to {:+.4f}", found.low, found.high),
                      fmt::format("{:.3g}", found.p_holm), count(found.broken), count(found.mended),
                      recovery_text(found.recovery)});
    }
  }
  return rows.size() > 1 ? "\n" + format_table(rows, 3) : "";
}

std::string results_table(const Evaluation& evaluation) {
  const std::string texts = texts_table(evaluation);
  const std::string tasks = tasks_table(evaluation);
  return texts + (texts.empty() || tasks.empty() ? "" : "\n") + tasks + paired_table(evaluation);
}

std::string place_lines(const Evaluation& evaluation) {
  std::string text;
  for (const ModelResult& model : evaluation.models) {
    for (const TextResult& result : model.texts) {
      if (!result.profile) continue;
      text += damage_lines(fmt::format("{}, {}", printable(model.name), printable(result.name)),
                           *result.profile);
    }
  }
  return text;
}

std::vector<std::string> inputs_of(const EvalFlags& flags) {
  std::vector<std::string> inputs = {flags.baseline};
  for (const auto* given : {&flags.models, &flags.text, &flags.tokens}) {
    inputs.insert(inputs.end(), given->begin(), given->end());
  }
  if (!flags.probe_options.text.empty()) inputs.push_back(flags.probe_options.text);
  for (const std::string& task : flags.tasks) {
    for (std::string& path : files_of_task(task, flags.task_options)) {
      inputs.push_back(std::move(path));
    }
  }
  return inputs;
}

/// Not part of check_eval(): `run` makes the folders of its results after it has checked every stage.
void check_outputs(const EvalFlags& flags, const std::vector<std::string>& inputs) {
  const std::vector<std::pair<const char*, std::string>> outputs = {
      {"--out", flags.out}, {"--token-nll", flags.token_nll}, {"--samples", flags.samples}};
  for (const auto& [flag, path] : outputs) {
    if (path.empty()) continue;
    check_output_file(path, flag, inputs);
    if (path == flags.out) check_output_file(path + ".partial", "the state beside --out", inputs);
    for (const auto& [other_flag, other] : outputs) {
      if (std::string(other_flag) == flag || other.empty() || !is_inside(path, other)) continue;
      throw ConfigError(
          {.code = "FLAG_VALUE",
           .message = fmt::format("{} and {} must name two files, found one", flag, other_flag),
           .path = path,
           .hint = "choose another name for one of them"});
    }
  }
}

void write_samples(const EvalFlags& flags, const EvalModels& models,
                   const std::vector<EvaluatedTask>& tasks) {
  AtomicFile file(flags.samples);
  for (const EvaluatedTask& task : tasks) {
    for (size_t m = 0; m < models.all().size(); ++m) {
      if (!models.all()[m].listed) continue;
      write_task_samples(task, m, models.all()[m].info.path,
                         [&](std::string_view line) { file.write(line); });
    }
  }
  file.commit();
}

/// The first model's, through which all are asked.
std::string chat_template_of(const EvalFlags& flags) {
  if (!flags.task_options.apply_chat_template) return {};
  return ChatTemplate::open(flags.models.front(), flags.documents.chat_date).source();
}

/// @param run  of all models
void write_harness_files(const HarnessOut& out, const Evaluation& evaluation,
                         const EvalModels& models, const std::vector<EvaluatedTask>& tasks,
                         HarnessRun run) {
  size_t listed = 0;
  for (size_t m = 0; m < models.all().size(); ++m) {
    if (!models.all()[m].listed) continue;
    std::vector<AnsweredTask> answered;
    for (const EvaluatedTask& task : tasks) {
      answered.push_back({.task = task.task, .answers = task.answers[m]});
    }
    run.max_length = models.all()[m].info.config.max_positions;
    out.write(model_result_json(evaluation.models[listed++]), answered, run);
  }
}

CommandOutput evaluate(const EvalFlags& flags, const Globals& globals) {
  check_eval(flags, globals);
  const std::vector<std::string> inputs = inputs_of(flags);
  check_outputs(flags, inputs);
  std::optional<HarnessOut> harness;
  if (!flags.harness_out.empty()) harness.emplace(flags.harness_out, flags.models, inputs);
  warn_if_separator_missing(flags.documents, flags.text);
  const at::Device device = open_device(globals.device);
  EvalModels models(flags, device);
  std::vector<EvaluatedText> texts = open_texts(flags, models);
  std::vector<OpenedTask> opened = open_tasks(flags, models);
  HarnessRun harness_run{.device = device.str()};
  if (harness) {
    harness_run.chat_template = chat_template_of(flags);
    std::vector<const Task*> tasks;
    for (const OpenedTask& task : opened) tasks.push_back(&task.evaluated.task);
    harness->check_tasks(tasks);
  }
  EvaluatedQuestions questions{
      .tasks = {},
      .task_options = flags.task_options,
      .probes = {},
      .probe_options = flags.probe_options,
      .probe_text = open_probe_text(flags),
      .batch_size = flags.batch_size == "auto" ? 0 : parse_count(flags.batch_size, "--batch-size")};
  questions.probes = open_probes(flags, questions.probe_text, models, globals);
  const bool keep_nll = !flags.token_nll.empty();
  EvalState state(flags.out.empty() ? "" : flags.out + ".partial",
                  state_key(models, texts, opened, questions.probes, flags, globals));
  score_texts(models, keep_nll, state, texts, globals);
  score_tasks(flags, models, state, opened, globals);
  score_probes(flags, models, state, questions.probes, globals);
  for (OpenedTask& task : opened) questions.tasks.push_back(std::move(task.evaluated));
  CommandOutput output;
  const Evaluation evaluation =
      make_results(models.infos(), models.listed(), models.baseline(), texts, questions);
  output.json = evaluation_json(evaluation);
  output.text = results_table(evaluation) + place_lines(evaluation);
  if (keep_nll) write_token_nll(flags.token_nll, texts[0], texts[0].scores[0]);
  if (!flags.samples.empty()) write_samples(flags, models, questions.tasks);
  if (harness) write_harness_files(*harness, evaluation, models, questions.tasks, harness_run);
  if (!flags.out.empty()) {
    write_file_atomically(flags.out,
                          output.json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  state.finish();
  return output;
}

}  // namespace

CommandOutput run_eval(const EvalFlags& flags, const Globals& globals) {
  try {
    return evaluate(flags, globals);
  } catch (const Error& error) {
    // Stopped while it loaded models and texts: the scores of an earlier run are as they were.
    const bool resumable = !flags.out.empty() && holds_eval_state(flags.out + ".partial");
    if (resumable && error.info().code == "INTERRUPTED") throw_if_stopped(resumable);
    throw;
  }
}

}  // namespace regroup
