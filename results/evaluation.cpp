// What eval measured, in the layout of lm-evaluation-harness.
#include "regroup/results/evaluation.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "regroup/results/fields.h"

namespace regroup {
namespace {

/// Numbers that are none are "N/A", as lm-eval writes them.
Json score_json(std::optional<double> value) {
  return value && std::isfinite(*value) ? Json(*value) : Json("N/A");
}

void put_metric(Json& row, const Metric& metric) {
  row[metric.name + "," + metric.filter] = score_json(metric.value);
  row[metric.name + "_stderr," + metric.filter] = score_json(metric.error);
}

void put_metrics(Json& row, const std::vector<Metric>& metrics, bool against_baseline) {
  for (const Metric& metric : metrics) {
    const TextMetric* known = find_text_metric(metric.name);
    const bool compares = known != nullptr && known->against_baseline;
    if (compares == against_baseline) put_metric(row, metric);
  }
}

void put_text(Json& model, const TextResult& text) {
  const std::string& name = text.name;
  Json row = {{"alias", name}};
  put_metrics(row, text.metrics, /*against_baseline=*/false);
  row["tokens"] = text.tokens;
  if (text.bytes) row["bytes"] = *text.bytes;
  if (text.words) row["words"] = *text.words;
  put_metrics(row, text.metrics, /*against_baseline=*/true);
  model["results"][name] = std::move(row);
  model["configs"][name] = {{"task", name},
                            {"output_type", "text_loss"},
                            {"seq_len", text.seq_len},
                            {"batch_tokens", text.batch_tokens},
                            {"stream_tokens", text.tokens + 1}};
  model["versions"][name] = 1;
  model["n-shot"][name] = 0;
  model["n-samples"][name] = {{"original", text.windows}, {"effective", text.windows}};
  if (text.profile) model["regroup"]["damage"][name] = damage_profile_json(*text.profile);
  if (text.fidelity) model["regroup"]["fidelity"][name] = fidelity_curve_json(*text.fidelity);
}

Json task_row_json(const TaskResult& task) {
  Json row = {{"alias", task.name}, {"name", task.name}, {"sample_len", task.items}};
  for (const Metric& metric : task.metrics) put_metric(row, metric);
  return row;
}

/// 1 where the text is "1".
Json version_json(const std::string& version) {
  char* end = nullptr;
  const double number = std::strtod(version.c_str(), &end);
  return !version.empty() && *end == '\0' ? Json(number) : Json(version);
}

Json task_config_json(const TaskResult& task) {
  Json metrics = Json::array();
  for (const Metric& metric : task.metrics) {
    metrics.push_back({{"metric", metric.name},
                       {"higher_is_better", metric.direction == Direction::kHigherIsBetter}});
  }
  const bool one_file = task.data_sha256.size() == 1;
  Json config = {{"task", task.name},
                 {"output_type", task.output_type},
                 {"num_fewshot", optional_json(task.n_shot)},
                 {"target_delimiter", " "},
                 {"fewshot_delimiter", "\n\n"},
                 {"metric_list", metrics},
                 {"data_sha256", one_file ? Json(task.data_sha256[0]) : Json(task.data_sha256)},
                 {"metadata", {{"version", version_json(task.version)}}}};
  if (task.batch_tokens) config["batch_tokens"] = *task.batch_tokens;
  return config;
}

/// What the rows right below a group say, as lm-evaluation-harness hands it up.
void put_group(Json& model, const TaskResult& group) {
  const std::string& name = group.name;
  model["groups"][name] = task_row_json(group);
  model["versions"][name] = 2;
  for (const std::string& member : group.members) {
    model["group_subtasks"][name].push_back(member);
    const auto directions = model["higher_is_better"].find(member);
    if (directions == model["higher_is_better"].end()) continue;
    const Json of_member = *directions;
    model["higher_is_better"][name].update(of_member);
  }
  if (group.n_shot) model["n-shot"][name] = *group.n_shot;
}

void put_task(Json& model, const TaskResult& task) {
  const std::string& name = task.name;
  model["results"][name] = task_row_json(task);
  if (task.is_group) return put_group(model, task);
  model["configs"][name] = task_config_json(task);
  model["versions"][name] = version_json(task.version);
  model["n-shot"][name] = optional_json(task.n_shot);
  model["n-samples"][name] = {{"original", task.original}, {"effective", task.items}};
  for (const Metric& metric : task.metrics) {
    model["higher_is_better"][name][metric.name] = metric.direction == Direction::kHigherIsBetter;
  }
}

void put_measured_with(Json& json, const std::string& name, const std::string& end,
                       const Measured& measured) {
  json[name + end] = measured.value;
  json[name + "_stderr" + end] = optional_json(measured.error);
}

Json probe_cell_json(const ProbeCellResult& cell) {
  Json json = {{"length", cell.length}};
  if (cell.depth) json["depth"] = *cell.depth;
  if (cell.count) json["count"] = *cell.count;
  json["trials"] = cell.trials;
  put_measured_with(json, "log_prob", "", cell.log_prob);
  put_measured_with(json, "acc", "", cell.accuracy);
  return json;
}

Json probe_config_json(const ProbeResult& probe) {
  Json config = {{"task", probe.name},
                 {"output_type", "probe"},
                 {"axis", probe.axis},
                 {"passing_log_prob", probe.passing},
                 {"trials", probe.trials_of_a_cell}};
  if (probe.batch_tokens) config["batch_tokens"] = *probe.batch_tokens;
  if (!probe.haystack.empty()) config["haystack"] = probe.haystack;
  if (probe.noise_stands_in) config["haystack_stands_in"] = *probe.noise_stands_in;
  if (probe.text) {
    config["haystack_text"] = {{"name", probe.text->name},
                               {"xxh3", probe.text->xxh3},
                               {"sentences", probe.text->sentences}};
  }
  return config;
}

void put_probe(Json& model, const ProbeResult& probe) {
  const std::string& name = probe.name;
  Json row = {{"alias", name}, {"sample_len", probe.trials}};
  put_measured_with(row, "log_prob", ",none", probe.log_prob);
  put_measured_with(row, "acc", ",none", probe.accuracy);
  row["cells"] = Json::array();
  for (const ProbeCellResult& cell : probe.cells) row["cells"].push_back(probe_cell_json(cell));
  model["results"][name] = std::move(row);
  model["configs"][name] = probe_config_json(probe);
  model["versions"][name] = 1;
  model["n-shot"][name] = 0;
  model["n-samples"][name] = {{"original", probe.trials}, {"effective", probe.trials}};
  model["higher_is_better"][name] = {{"log_prob", true}, {"acc", true}};
  Json& about = model["regroup"]["probes"][name];
  about = Json::object();
  if (probe.baseline_can) about["baseline_can"] = *probe.baseline_can;
  if (!probe.difference) return;
  about["log_prob_delta"] = probe.difference->delta.value;
  about["log_prob_delta_stderr"] = optional_json(probe.difference->delta.error);
  about["ci95"] = {probe.difference->low, probe.difference->high};
  about["p"] = probe.difference->p;
}

Json gap_json(const GapClosed& gap) {
  if (!gap.measurable) return "no measurable gap";
  return {{"value", gap.value}, {"ci95", {gap.low, gap.high}}, {"dropped_resamples", gap.dropped}};
}

Json difference_json(const TaskDifference& found) {
  Json json = {{"items", found.items},
               {"delta", found.delta.value},
               {"delta_stderr", optional_json(found.delta.error)},
               {"ci95", {found.low, found.high}},
               {"p", found.p}};
  const auto put = [&json](const char* key, const auto& value) {
    if (value) json[key] = *value;
  };
  put("right_to_wrong", found.broken);
  put("wrong_to_right", found.mended);
  put("flips", found.flips);
  put("margin", found.margin);
  put("non_inferior", found.non_inferior);
  put("items_needed", found.items_needed);
  if (found.recovery) json["recovery"] = gap_json(*found.recovery);
  json["p_holm"] = found.p_holm;
  return json;
}

Json config_of(const ModelResult& model) {
  Json config = {{"model", "regroup"},
                 {"model_args", "pretrained=" + model.name},
                 {"model_num_parameters", model.n_params},
                 {"model_dtype", model.dtype},
                 {"batch_size", model.batch_size > 0 ? Json(model.batch_size) : Json("auto")}};
  if (!model.task_run) return config;
  config["limit"] = optional_json(model.task_run->limit);
  config["bootstrap_iters"] = model.task_run->bootstrap_iterations;
  config["fewshot_seed"] = model.task_run->shot_seed;
  config["bos_mode"] = model.task_run->bos_mode;
  config["apply_chat_template"] = model.task_run->apply_chat_template;
  config["fewshot_as_multiturn"] = model.task_run->as_multiturn;
  return config;
}

Json about_json(const ModelResult& model) {
  Json about = {{"version", model.version},
                {"libtorch", model.libtorch},
                {"role", model.role},
                {"architecture", model.architecture},
                {"n_layers", model.n_layers},
                {"n_heads", model.n_heads},
                {"n_kv_heads", model.n_kv_heads},
                {"n_params", model.n_params},
                {"kv_bytes_per_token", model.kv_bytes_per_token},
                {"digest", model.digest}};
  if (!model.started_from.empty()) about["started_from"] = model.started_from;
  if (!model.baseline.empty()) about["baseline"] = model.baseline;
  return about;
}

}  // namespace

Json model_result_json(const ModelResult& model) {
  Json json = Json::object();
  for (const char* part : {"results", "configs", "versions", "n-shot", "n-samples"}) {
    json[part] = Json::object();
  }
  json["config"] = config_of(model);
  json["model_name"] = model.name;
  json["regroup"] = about_json(model);
  for (const TextResult& text : model.texts) put_text(json, text);
  for (const TaskResult& task : model.tasks) put_task(json, task);
  for (const auto& [task, items] : model.left_out) json["regroup"]["left_out"][task] = items;
  for (const auto& [task, count] : model.truncated) {
    json["regroup"]["truncated_requests"][task] = count;
  }
  for (const ProbeResult& probe : model.probes) put_probe(json, probe);
  if (!model.paired) return json;
  Json& paired = json["regroup"]["paired"] = Json::object();
  for (const TaskDifference& found : *model.paired) {
    paired[found.task][found.measure] = difference_json(found);
  }
  return json;
}

Json evaluation_json(const Evaluation& evaluation) {
  Json json = {{"format", kEvaluationFormat}};
  if (evaluation.models.size() == 1) {
    json.update(model_result_json(evaluation.models[0]));
    return json;
  }
  json["models"] = Json::array();
  for (const ModelResult& model : evaluation.models) {
    json["models"].push_back(model_result_json(model));
  }
  return json;
}

}  // namespace regroup
