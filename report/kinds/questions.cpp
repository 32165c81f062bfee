#include "kinds/questions.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "kinds/fields.h"
#include "kinds/result_kind.h"

namespace regroup {
namespace {

/// Whether a task has a score at all: what overflows is "N/A".
bool has_number(const Json& result) {
  for (const auto& [key, value] : result.items()) {
    if (key.find(',') != std::string::npos && value.is_number()) return true;
  }
  return false;
}

/// In the harness's own layout a probe has no cells, and nothing that a report shows.
bool is_probe_result(const std::string& name, const Json& result, const Json& model) {
  return result.contains("cells") ||
         object_in(object_in(model, "configs"), name).value("output_type", Json()) == "probe";
}

/// The tasks of a model, as a file of the harness.
Json tasks_of(const Json& model) {
  Json tasks = model;
  auto& results = tasks["results"].get_ref<Json::object_t&>();
  for (auto it = results.begin(); it != results.end();) {
    const bool keeps = !is_text_result(it->first, it->second, model) &&
                       !is_probe_result(it->first, it->second, model) && has_number(it->second);
    it = keeps ? std::next(it) : results.erase(it);
  }
  return tasks;
}

ReportPaired read_paired(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  ReportPaired paired;
  paired.delta = {fields.number("delta").value_or(0), fields.number("delta_stderr")};
  if (const Json* interval = fields.find("ci95");
      interval != nullptr && interval->is_array() && interval->size() == 2 &&
      (*interval)[0].is_number() && (*interval)[1].is_number()) {
    paired.low = (*interval)[0].get<double>();
    paired.high = (*interval)[1].get<double>();
  } else {
    wrong_type(path, "\"ci95\" must hold two numbers");
  }
  paired.p = fields.number("p_holm").value_or(1);
  paired.broken = fields.integer("right_to_wrong", 0, INT64_MAX);
  paired.mended = fields.integer("wrong_to_right", 0, INT64_MAX);
  paired.margin = fields.number("margin");
  paired.items_needed = fields.integer("items_needed", 0, INT64_MAX).value_or(0);
  const Json* recovery = fields.find("recovery");
  if (recovery != nullptr && recovery->is_object()) {
    paired.recovery = JsonFields(*recovery, path).number("value");
  }
  paired.no_gap = recovery != nullptr && recovery->is_string();
  return paired;
}

/// To the scores that the same results gave.
void add_paired(const Json& json, const std::string& path, std::span<ReportTaskScore> added) {
  for (const auto& [task, measures] : object_in(object_in(json, "regroup"), "paired").items()) {
    for (const auto& [measure, found] : measures.items()) {
      if (!found.is_object()) wrong_type(path, "every entry of \"paired\" must be an object");
      for (ReportTaskScore& score : added) {
        const std::string full =
            score.on.filter == "none" ? score.on.metric : score.on.metric + "," + score.on.filter;
        if (score.on.task == task && full == measure) {
          score.paired = read_paired(found, path);
        }
      }
    }
  }
}

Measured measured_in(const JsonFields& fields, const std::string& name) {
  return {fields.number(name.c_str()).value_or(0), fields.number((name + "_stderr").c_str())};
}

/// What needles were hidden in, of probes that ask for a text of the user's.
std::string haystack_in(const Json& config, const std::string& path) {
  const JsonFields fields(config, path);
  if (fields.boolean("haystack_stands_in") == true) {
    return "sentences about nothing, since no --probe-text was given";
  }
  const auto text = config.find("haystack_text");
  return text == config.end() ? "" : text_of(JsonFields(*text, path), "name");
}

ReportProbe read_probe(const std::string& name, const Json& result, const Json& model,
                       const std::string& path) {
  ReportProbe probe;
  probe.name = name;
  probe.model = text_of(JsonFields(model, path), "model_name");
  const Json& about = object_in(model, "regroup");
  probe.role = text_of(JsonFields(about, path), "role");
  const Json& config = object_in(object_in(model, "configs"), name);
  probe.axis = text_of(JsonFields(config, path), "axis");
  probe.haystack = haystack_in(config, path);
  for (const Json& json : objects_in(result, "cells", path)) {
    const JsonFields fields(json, path);
    probe.cells.push_back({.length = count_of(fields, "length"),
                           .depth = fields.number("depth"),
                           .count = fields.integer("count", 0, INT64_MAX),
                           .log_prob = measured_in(fields, "log_prob"),
                           .accuracy = measured_in(fields, "acc"),
                           .trials = count_of(fields, "trials")});
  }
  const Json& compared = object_in(object_in(about, "probes"), name);
  const JsonFields fields(compared, path);
  probe.baseline_can = fields.boolean("baseline_can");
  if (!compared.contains("log_prob_delta")) return probe;
  const ReportPaired paired =
      read_paired({{"delta", compared["log_prob_delta"]},
                   {"delta_stderr", compared.value("log_prob_delta_stderr", Json())},
                   {"ci95", compared.value("ci95", Json())}},
                  path);
  probe.log_prob_delta = paired.delta;
  probe.low = paired.low;
  probe.high = paired.high;
  return probe;
}

/// Later measurements of the same model replace earlier ones.
void add_probes(const Json& model, const std::string& path, ReportData& data) {
  for (const auto& [name, result] : model.at("results").items()) {
    if (!result.contains("cells")) continue;
    ReportProbe probe = read_probe(name, result, model, path);
    std::erase_if(data.probes, [&](const ReportProbe& known) {
      return known.name == probe.name && known.model == probe.model;
    });
    data.probes.push_back(std::move(probe));
  }
}

}  // namespace

bool is_text_result(const std::string& name, const Json& result, const Json& model) {
  const Json& config = object_in(object_in(model, "configs"), name);
  const auto type = config.find("output_type");
  return result.contains("loss,none") || (type != config.end() && *type == "text_loss");
}

void add_questions(const Json& model, const std::string& path, ReportData& data) {
  const Json tasks = tasks_of(model);
  const size_t known = data.task_scores.size();
  if (!tasks["results"].empty()) kinds::tasks.add(tasks, path, data);
  add_paired(model, path, std::span(data.task_scores).subspan(known));
  add_probes(model, path, data);
}

}  // namespace regroup
