// What eval measured, read back; and tasks in files of lm-evaluation-harness.
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>

#include "harness_fields.h"
#include "regroup/results/evaluation.h"
#include "regroup/results/fields.h"

namespace regroup {
namespace {

enum class RowKind { kText, kTask, kProbe };

/// In the harness's own layout a probe has no cells.
RowKind kind_of_row(const Json& row, const Json& config) {
  const auto type = config.value("output_type", Json());
  if (row.contains("loss,none") || type == "text_loss") return RowKind::kText;
  return row.contains("cells") || type == "probe" ? RowKind::kProbe : RowKind::kTask;
}

std::string error_key(const std::string& key) {
  const auto [metric, filter] = metric_and_filter(key);
  return metric + "_stderr" + (key == metric ? "" : "," + filter);
}

std::optional<double> error_of(const Json& row, const std::string& key) {
  const auto found = row.find(error_key(key));
  return found != row.end() && found->is_number() ? std::optional(found->get<double>())
                                                  : std::nullopt;
}

/// Files in the harness's own layout name their stream beside the scores alone.
int64_t tokens_of(const JsonFields& row, const JsonFields& config) {
  if (row.has("tokens")) return count_of(row, "tokens");
  return std::max<int64_t>(0, count_of(config, "stream_tokens") - 1);
}

/// "torch.float32", as the harness writes it, is "f32".
std::string short_dtype(const std::string& name) {
  if (name == "torch.float32") return "f32";
  if (name == "torch.bfloat16") return "bf16";
  return name == "torch.float16" ? "f16" : name;
}

TextResult read_text_result(const std::string& name, const Json& row, const Json& model,
                            const HarnessFields& file, const std::string& path) {
  const JsonFields fields(row, path);
  const JsonFields config(object_in(object_in(model, "configs", path), name, path), path);
  const JsonFields samples(object_in(object_in(model, "n-samples", path), name, path), path);
  TextResult text{.name = name,
                  .metrics = {},
                  .tokens = tokens_of(fields, config),
                  .bytes = optional_count(fields, "bytes"),
                  .words = optional_count(fields, "words"),
                  .windows = count_of(samples, "effective"),
                  .seq_len = count_of(config, "seq_len"),
                  .batch_tokens = count_of(config, "batch_tokens")};
  for (const auto& [key, value] : row.items()) {
    if (metric_and_filter(key).first == key) continue;  // no metric: a count or a name
    const auto found = file.score(name, key, value);
    if (!found) continue;
    Metric metric = text_metric(metric_and_filter(key).first, *found, error_of(row, key));
    metric.filter = metric_and_filter(key).second;
    text.metrics.push_back(std::move(metric));
  }
  const Json& about = object_in(model, "regroup", path);
  const Json& damage = object_in(object_in(about, "damage", path), name, path);
  if (!damage.empty()) text.profile = read_damage_profile(damage, path);
  const Json& curve = object_in(object_in(about, "fidelity", path), name, path);
  if (!curve.empty()) text.fidelity = read_fidelity_curve(curve, path);
  return text;
}

Measured whole_of_probe(const Json& row, const std::string& metric) {
  const auto found = row.find(metric + ",none");
  const bool known = found != row.end() && found->is_number();
  return {known ? found->get<double>() : std::numeric_limits<double>::quiet_NaN(),
          error_of(row, metric + ",none")};
}

void read_probe_config(const Json& json, const std::string& path, ProbeResult& probe) {
  const JsonFields fields(json, path);
  probe.axis = text_of(fields, "axis");
  probe.passing = fields.number("passing_log_prob").value_or(0);
  probe.trials_of_a_cell = count_of(fields, "trials");
  probe.batch_tokens = optional_count(fields, "batch_tokens");
  probe.haystack = text_of(fields, "haystack");
  probe.noise_stands_in = fields.boolean("haystack_stands_in");
  const Json& haystack = object_in(json, "haystack_text", path);
  if (haystack.empty()) return;
  const JsonFields text(haystack, path);
  probe.text = HaystackText{.name = text_of(text, "name"),
                            .xxh3 = text_of(text, "xxh3"),
                            .sentences = count_of(text, "sentences")};
}

ProbeResult read_probe_result(const std::string& name, const Json& row, const Json& model,
                              const std::string& path) {
  ProbeResult probe{.name = name,
                    .log_prob = whole_of_probe(row, "log_prob"),
                    .accuracy = whole_of_probe(row, "acc"),
                    .trials = count_of(JsonFields(row, path), "sample_len")};
  read_probe_config(object_in(object_in(model, "configs", path), name, path), path, probe);
  for (const Json& json : objects_in(row, "cells", path)) {
    const JsonFields fields(json, path);
    probe.cells.push_back({.length = count_of(fields, "length"),
                           .depth = fields.number("depth"),
                           .count = optional_count(fields, "count"),
                           .log_prob = measured_in(fields, "log_prob"),
                           .accuracy = measured_in(fields, "acc"),
                           .trials = count_of(fields, "trials")});
  }
  const Json& compared =
      object_in(object_in(object_in(model, "regroup", path), "probes", path), name, path);
  const JsonFields fields(compared, path);
  probe.baseline_can = fields.boolean("baseline_can");
  if (!compared.contains("log_prob_delta")) return probe;
  const auto [low, high] = interval_in(fields, "ci95");
  probe.difference = ProbeDifference{.delta = measured_in(fields, "log_prob_delta"),
                                     .low = low,
                                     .high = high,
                                     .p = fields.number("p").value_or(1)};
  return probe;
}

GapClosed read_gap(const Json& json, const std::string& path) {
  GapClosed gap;
  if (!json.is_object()) return gap;
  const JsonFields fields(json, path);
  const auto value = fields.number("value");
  if (!value) wrong_type(path, "\"recovery\" must have a number \"value\"");
  gap = {.measurable = true, .value = *value, .dropped = count_of(fields, "dropped_resamples")};
  if (fields.has("ci95")) std::tie(gap.low, gap.high) = interval_in(fields, "ci95");
  return gap;
}

TaskDifference read_difference(const std::string& task, const std::string& measure,
                               const Json& json, const std::string& path) {
  if (!json.is_object()) wrong_type(path, "every entry of \"paired\" must be an object");
  const JsonFields fields(json, path);
  const auto [low, high] = interval_in(fields, "ci95");
  TaskDifference found{.task = task,
                       .measure = measure,
                       .items = count_of(fields, "items"),
                       .delta = measured_in(fields, "delta"),
                       .low = low,
                       .high = high,
                       .p = fields.number("p").value_or(1),
                       .p_holm = fields.number("p_holm").value_or(1),
                       .broken = optional_count(fields, "right_to_wrong"),
                       .mended = optional_count(fields, "wrong_to_right"),
                       .flips = fields.number("flips"),
                       .margin = fields.number("margin"),
                       .non_inferior = fields.boolean("non_inferior"),
                       .items_needed = optional_count(fields, "items_needed")};
  if (const Json* recovery = fields.find("recovery")) found.recovery = read_gap(*recovery, path);
  return found;
}

void read_paired(const Json& about, const std::string& path, ModelResult& model) {
  if (!about.contains("paired")) return;
  model.paired.emplace();
  for (const auto& [task, measures] : object_in(about, "paired", path).items()) {
    for (const auto& [measure, found] : measures.items()) {
      model.paired->push_back(read_difference(task, measure, found, path));
    }
  }
}

TaskRun read_task_run(const JsonFields& config) {
  return {.limit = optional_count(config, "limit"),
          .bootstrap_iterations = count_of(config, "bootstrap_iters"),
          .shot_seed = count_of(config, "fewshot_seed"),
          .bos_mode = text_of(config, "bos_mode"),
          .apply_chat_template = config.boolean("apply_chat_template").value_or(false),
          .as_multiturn = config.boolean("fewshot_as_multiturn").value_or(false)};
}

void read_notes(const Json& about, const std::string& path, ModelResult& model) {
  for (const auto& [task, items] : object_in(about, "left_out", path).items()) {
    const bool whole =
        items.is_array() && std::all_of(items.begin(), items.end(),
                                        [](const Json& i) { return i.is_number_integer(); });
    if (!whole) wrong_type(path, "\"left_out\" must hold lists of whole numbers");
    model.left_out.emplace_back(task, items.get<std::vector<int64_t>>());
  }
  const Json& truncated = object_in(about, "truncated_requests", path);
  const JsonFields counts(truncated, path);
  for (const auto& [task, count] : truncated.items()) {
    model.truncated.emplace_back(task, count_of(counts, task.c_str()));
  }
}

/// A row of "results" or "groups" as far as the harness's layouts go.
TaskResult read_task_row(const std::string& name, const Json& row, const HarnessFields& file) {
  TaskResult task{.name = name, .metrics = {}, .n_shot = file.n_shot(name)};
  task.version = file.version(name);
  for (const auto& [key, value] : row.items()) {
    const std::optional<double> found = file.score(name, key, value);
    if (!found) continue;
    const auto [metric, filter] = metric_and_filter(key);
    const auto better = file.higher_is_better(name, metric);
    task.metrics.push_back({.name = metric,
                            .filter = filter,
                            .direction = !better   ? Direction::kUnknown
                                         : *better ? Direction::kHigherIsBetter
                                                   : Direction::kLowerIsBetter,
                            .value = *found,
                            .error = error_of(row, key),
                            .items = file.items(name, key, row)});
  }
  return task;
}

/// What `eval` writes of a task beside its scores.
void read_task_facts(const Json& model, const std::string& path, TaskResult& task) {
  const Json& row = object_in(object_in(model, "results", path), task.name, path);
  task.items = optional_count(JsonFields(row, path), "sample_len").value_or(0);
  const JsonFields samples(object_in(object_in(model, "n-samples", path), task.name, path), path);
  task.original = count_of(samples, "original");
  const Json& config = object_in(object_in(model, "configs", path), task.name, path);
  const JsonFields fields(config, path);
  task.output_type = text_of(fields, "output_type");
  task.batch_tokens = optional_count(fields, "batch_tokens");
  const auto digests = config.find("data_sha256");
  if (digests != config.end() && digests->is_string()) {
    task.data_sha256 = {digests->get<std::string>()};
  } else {
    task.data_sha256 = texts_in(config, "data_sha256", path);
  }
  task.is_group = object_in(model, "groups", path).contains(task.name);
  task.members = texts_in(object_in(model, "group_subtasks", path), task.name, path);
}

/// Groups stand in "results" and "groups", with the same numbers, but for versions that kept them apart.
void add_group_rows(const HarnessFields& file, std::vector<TaskResult>& tasks) {
  for (const auto& [name, row] : file.part("groups").items()) {
    TaskResult group = read_task_row(name, file.row("groups", name), file);
    const auto known = std::find_if(tasks.begin(), tasks.end(), [&](const TaskResult& task) {
      return task.name == group.name;
    });
    if (known == tasks.end()) {
      tasks.push_back(std::move(group));
      continue;
    }
    for (Metric& metric : group.metrics) {
      const bool there =
          std::any_of(known->metrics.begin(), known->metrics.end(), [&](const Metric& other) {
            return other.name == metric.name && other.filter == metric.filter;
          });
      if (!there) known->metrics.push_back(std::move(metric));
    }
  }
}

ModelResult read_model_result(const Json& json, const std::string& path) {
  const JsonFields about(object_in(json, "regroup", path), path);
  const JsonFields config(object_in(json, "config", path), path);
  const HarnessFields file(json, path);
  ModelResult model{.name = file.model(),
                    .role = text_of(about, "role"),
                    .architecture = text_of(about, "architecture"),
                    .dtype = short_dtype(text_of(config, "model_dtype")),
                    .digest = text_of(about, "digest"),
                    .started_from = text_of(about, "started_from"),
                    .baseline = text_of(about, "baseline"),
                    .version = text_of(about, "version"),
                    .libtorch = text_of(about, "libtorch"),
                    .n_layers = count_of(about, "n_layers"),
                    .n_heads = count_of(about, "n_heads"),
                    .n_kv_heads = count_of(about, "n_kv_heads"),
                    .n_params = count_of(about, "n_params"),
                    .kv_bytes_per_token = count_of(about, "kv_bytes_per_token")};
  const Json* batch = config.find("batch_size");
  if (batch != nullptr && batch->is_number_integer()) model.batch_size = batch->get<int64_t>();
  for (const auto& [name, row] : file.part("results").items()) {
    if (!row.is_object()) wrong_type(path, "every entry of \"results\" must be an object");
    const RowKind kind = kind_of_row(row, object_in(object_in(json, "configs", path), name, path));
    if (kind == RowKind::kText) {
      model.texts.push_back(read_text_result(name, row, json, file, path));
    } else if (kind == RowKind::kProbe) {
      model.probes.push_back(read_probe_result(name, row, json, path));
    } else {
      model.tasks.push_back(read_task_row(name, row, file));
      read_task_facts(json, path, model.tasks.back());
    }
  }
  if (!model.tasks.empty()) {
    add_group_rows(file, model.tasks);
    model.task_run = read_task_run(config);
  }
  read_notes(object_in(json, "regroup", path), path, model);
  read_paired(object_in(json, "regroup", path), path, model);
  return model;
}

}  // namespace

Evaluation read_evaluation(const Json& json, const std::string& path) {
  require_format(json, kEvaluationFormat, path);
  Evaluation evaluation;
  if (!json.contains("models")) {
    evaluation.models.push_back(read_model_result(json, path));
    return evaluation;
  }
  for (const Json& model : objects_in(json, "models", path)) {
    evaluation.models.push_back(read_model_result(model, path));
  }
  return evaluation;
}

HarnessTasks read_harness_tasks(const Json& json, const std::string& path) {
  const HarnessFields file(json, path);
  HarnessTasks read{.model = file.model(), .tasks = {}};
  for (const auto& [name, row] : file.part("results").items()) {
    read.tasks.push_back(read_task_row(name, file.row("results", name), file));
  }
  add_group_rows(file, read.tasks);
  return read;
}

}  // namespace regroup
