#include "regroup/eval/task_results.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/tasks/task_settings.h"

namespace regroup {
namespace {

const char* output_type(TaskKind kind) {
  switch (kind) {
    case TaskKind::kMultipleChoice:
      return "multiple_choice";
    case TaskKind::kLoglikelihood:
      return "loglikelihood";
    case TaskKind::kRolling:
      return "loglikelihood_rolling";
    case TaskKind::kGenerate:
      return "generate_until";
  }
  return "";
}

std::string key_of(Measure measure, const char* what = "") {
  return fmt::format("{}{},{}", measure_name(measure), what, measure_filter(measure));
}

/// Numbers that are none are "N/A", as lm-eval writes them.
Json number(std::optional<double> value) {
  return value && std::isfinite(*value) ? Json(*value) : Json("N/A");
}

Json row_json(const TaskSummary& row) {
  Json json = {{"alias", row.name}, {"name", row.name}, {"sample_len", row.items}};
  for (const TaskScore& score : row.scores) {
    json[key_of(score.measure)] = number(score.value);
    json[key_of(score.measure, "_stderr")] = number(score.error);
  }
  return json;
}

Json config_json(const Task& task, const std::string& name) {
  Json metrics = Json::array();
  for (const Measure measure : task.definition.measures) {
    metrics.push_back(
        {{"metric", measure_name(measure)}, {"higher_is_better", higher_is_better(measure)}});
  }
  return {{"task", name},
          {"output_type", output_type(task.definition.kind)},
          {"num_fewshot", task.n_shot},
          {"target_delimiter", " "},
          {"fewshot_delimiter", "\n\n"},
          {"metric_list", metrics},
          {"data_sha256", sha256_of_file(task.path)},
          {"metadata", {{"version", task.definition.version}}}};
}

/// str() of Python: samples hold numbers as texts.
std::string python_text(double value) {
  const std::string text = fmt::format("{}", value);
  const bool whole = text.find_first_of(".einf") == std::string::npos;
  return whole ? text + ".0" : text;
}

/// What the model said of an item: [[log-likelihood, greedy], ...], or [text].
Json answers_json(const Task& task, const TaskAnswers& all, size_t item) {
  if (task.definition.kind == TaskKind::kGenerate) return Json::array({all.texts[item]});
  Json answers = Json::array();
  for (const RequestScore& score : all.scores[item]) {
    answers.push_back({python_text(score.log_likelihood), score.greedy ? "True" : "False"});
  }
  return answers;
}

std::string written(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// str(target) of lm-evaluation-harness.
std::string target_text(const Task& task, const TaskQuestion& question) {
  if (task.definition.kind != TaskKind::kMultipleChoice) return question.choices.front();
  if (question.contexts.size() > 1) return question.choices.front();
  return question.gold.empty() ? "" : std::to_string(question.gold.front());
}

}  // namespace

void add_task_results(Json& model, size_t m, const std::vector<EvaluatedTask>& tasks,
                      const TaskOptions& options) {
  for (const EvaluatedTask& evaluated : tasks) {
    const Task& task = evaluated.task;
    const auto rows = summarize_task(task, evaluated.answers[m], options.bootstrap_iterations);
    for (const TaskSummary& row : rows) {
      model["results"][row.name] = row_json(row);
      if (row.is_group) {
        model["groups"][row.name] = row_json(row);
        model["versions"][row.name] = 2;
        continue;
      }
      model["configs"][row.name] = config_json(task, row.name);
      model["versions"][row.name] = task.definition.version;
      model["n-shot"][row.name] = task.n_shot;
      model["n-samples"][row.name] = {{"original", task.n_original.at(row.part)},
                                      {"effective", row.items}};
      for (const Measure measure : task.definition.measures) {
        model["higher_is_better"][row.name][std::string(measure_name(measure))] =
            higher_is_better(measure);
      }
    }
    if (evaluated.truncated[m] > 0) {
      model["regroup"]["truncated_requests"][task.name] = evaluated.truncated[m];
    }
  }
  if (tasks.empty()) return;
  model["config"]["limit"] = options.limit > 0 ? Json(options.limit) : Json();
  model["config"]["bootstrap_iters"] = options.bootstrap_iterations;
  model["config"]["fewshot_seed"] = options.shot_seed;
  model["config"]["bos_mode"] = name_of(options.bos_mode);
}

std::string task_samples(const EvaluatedTask& evaluated, size_t m, const std::string& model) {
  const Task& task = evaluated.task;
  std::string lines;
  for (size_t i = 0; i < task.documents.size(); ++i) {
    const TaskQuestion& question = task.questions[i];
    Json arguments = Json::object();
    for (size_t r = 0; r < task.requests[i].size(); ++r) {
      const auto& [context, continuation] = task.requests[i][r];
      Json& own = arguments[fmt::format("gen_args_{}", r)];
      if (task.definition.kind == TaskKind::kRolling) {
        own = {{"arg_0", continuation}};
      } else if (task.definition.kind == TaskKind::kGenerate) {
        own = {{"arg_0", context},
               {"arg_1", {{"until", question.until}, {"max_gen_toks", question.max_new_tokens}}}};
      } else {
        own = {{"arg_0", context}, {"arg_1", continuation}};
      }
    }
    const Json answers = answers_json(task, evaluated.answers[m], i);
    Json repeated = Json::array();
    for (const Json& answer : answers) repeated.push_back(Json::array({answer}));
    const std::string target = target_text(task, question);
    const auto& [first_context, first_continuation] = task.requests[i].front();
    const bool rolls = task.definition.kind == TaskKind::kRolling;
    Json line = {{"doc_id", i},
                 {"doc", task.documents[i]},
                 {"target", target},
                 {"arguments", arguments},
                 {"resps", repeated},
                 {"filtered_resps", answers},
                 {"filter", "none"},
                 {"metrics", Json::array()},
                 {"doc_hash", sha256_of_text(written(task.documents[i], 2))},
                 {"prompt_hash", sha256_of_text(rolls ? first_continuation : first_context)},
                 {"target_hash", sha256_of_text(target)},
                 {"task", task.name},
                 {"model", model}};
    for (const Measure measure : task.definition.measures) {
      std::string name(measure_name(measure));
      if (line.contains(name)) name += fmt::format(",{}", measure_filter(measure));
      if (measure == Measure::kBleu) continue;  // of all answers together
      line["metrics"].push_back(name);
      line[name] = number(measure_answer(measure, task, evaluated.answers[m], i));
    }
    lines += written(line) + "\n";
  }
  return lines;
}

}  // namespace regroup
