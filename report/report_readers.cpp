// One reader per kind of JSON file. A key that is absent leaves its field empty; a key of the wrong
// type is an error that names file and key.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "report_data.h"

namespace regroup {
namespace {

const Json kEmpty = Json::object();

const Json& object_in(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_object() ? *found : kEmpty;
}

std::string text_of(const JsonFields& fields, const char* key) {
  return fields.string(key).value_or("");
}

int64_t count_of(const JsonFields& fields, const char* key) {
  return fields.integer(key, 0, INT64_MAX).value_or(0);
}

[[noreturn]] void wrong_type(const std::string& path, const std::string& what) {
  throw CheckpointError({.code = "CFG_TYPE", .message = what, .path = path});
}

std::optional<double> number_in(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? std::optional(found->get<double>())
                                                   : std::nullopt;  // "N/A", or absent
}

ReportScore read_score(const std::string& name, const Json& result, const Json& model,
                       const std::string& path) {
  const JsonFields fields(result, path);
  const JsonFields config(object_in(object_in(model, "configs"), name.c_str()), path);
  const JsonFields samples(object_in(object_in(model, "n-samples"), name.c_str()), path);
  ReportScore score;
  score.on = {
      .text = name, .tokens = count_of(fields, "tokens"), .seq_len = count_of(config, "seq_len")};
  score.windows = count_of(samples, "effective");
  const Json& damage = object_in(object_in(model, "regroup"), "damage");
  score.profile = read_damage_profile(object_in(damage, name.c_str()), path);
  for (size_t m = 0; m < kMetricCount; ++m) {
    const std::string metric = kMetricNames[m];
    if (const auto value = number_in(result, metric + ",none")) {
      score.metrics[m] = {*value, number_in(result, metric + "_stderr,none")};
    }
  }
  return score;
}

ReportModel read_model(const Json& json, const std::string& path) {
  const JsonFields top(json, path);
  const JsonFields about(object_in(json, "regroup"), path);
  const JsonFields config(object_in(json, "config"), path);
  ReportModel model;
  model.role = text_of(about, "role");
  model.name = text_of(top, "model_name");
  model.architecture = text_of(about, "architecture");
  model.dtype = text_of(config, "model_dtype");
  model.digest = text_of(about, "digest");
  model.started_from = text_of(about, "started_from");
  model.version = text_of(about, "version");
  model.libtorch = text_of(about, "libtorch");
  model.n_layers = count_of(about, "n_layers");
  model.n_heads = count_of(about, "n_heads");
  model.n_kv_heads = count_of(about, "n_kv_heads");
  model.n_params = count_of(about, "n_params");
  model.kv_bytes_per_token = count_of(about, "kv_bytes_per_token");
  for (const auto& [name, result] : json.at("results").items()) {
    if (!result.is_object()) wrong_type(path, "every entry of \"results\" must be an object");
    model.scores.push_back(read_score(name, result, json, path));
  }
  return model;
}

/// What the later evaluation of the same model knows more.
void merge_scores(ReportModel& known, const ReportModel& other) {
  for (const ReportScore& score : other.scores) {
    const auto same = std::find_if(known.scores.begin(), known.scores.end(),
                                   [&](const ReportScore& s) { return s.on == score.on; });
    if (same == known.scores.end()) {
      known.scores.push_back(score);
      continue;
    }
    for (size_t m = 0; m < kMetricCount; ++m) {
      if (!same->metrics[m]) same->metrics[m] = score.metrics[m];
    }
    if (same->profile.positions.empty()) same->profile = score.profile;
  }
}

/// A model that several files evaluate is one model; "baseline" says more than "model".
void add_model(ReportModel model, ReportData& data) {
  for (ReportModel& known : data.models) {
    const bool same =
        known.name == model.name && known.digest == model.digest && known.dtype == model.dtype;
    if (!same) continue;
    if (known.role == "model" || model.role == "baseline") known.role = model.role;
    return merge_scores(known, model);
  }
  data.models.push_back(std::move(model));
}

std::string as_text(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

NamedTexts named_texts(const Json& object) {
  NamedTexts texts;
  for (const auto& [key, value] : object.items()) texts.emplace_back(key, as_text(value));
  return texts;
}

/// The elements of the array `key`, which must all be objects.
const Json& objects_in(const Json& json, const char* key, const std::string& path) {
  static const Json kNone = Json::array();
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return kNone;
  const bool objects =
      found->is_array() &&
      std::all_of(found->begin(), found->end(), [](const Json& j) { return j.is_object(); });
  if (!objects) wrong_type(path, "\"" + std::string(key) + "\" must be a list of objects");
  return *found;
}

std::vector<std::string> texts_in(const Json& json, const char* key) {
  std::vector<std::string> texts;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) return texts;
  for (const Json& value : *found) texts.push_back(as_text(value));
  return texts;
}

ReportPlanOption read_option(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  ReportPlanOption option;
  option.n_kv_heads = count_of(fields, "n_kv_heads");
  option.kv_bytes_per_token = count_of(fields, "kv_bytes_per_token");
  option.kv_bytes = count_of(fields, "kv_bytes");
  option.weight_bytes = count_of(fields, "weight_bytes");
  option.total_bytes = count_of(fields, "total_bytes");
  option.fits = fields.boolean("fits");
  option.max_batch = fields.integer("max_batch", 0, INT64_MAX);
  option.max_context = fields.integer("max_context", 0, INT64_MAX);
  return option;
}

ReportStage read_stage(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  return {.name = text_of(fields, "name"),
          .state = text_of(fields, "state"),
          .seconds = fields.number("seconds"),
          .arguments = texts_in(json, "arguments"),
          .inputs = named_texts(object_in(json, "inputs"))};
}

}  // namespace

void add_eval_results(const Json& json, const std::string& path, ReportData& data) {
  if (!json.contains("models")) return add_model(read_model(json, path), data);
  for (const Json& model : json["models"]) add_model(read_model(model, path), data);
}

void add_damage(const Json& json, const std::string& path, ReportData& data) {
  data.damages.push_back(read_damage(json, path));
}

void add_plan(const Json& json, const std::string& path, ReportData& data) {
  const JsonFields fields(json, path);
  const JsonFields model(object_in(json, "model"), path);
  ReportPlan plan;
  plan.architecture = text_of(model, "architecture");
  plan.n_kv_heads = count_of(model, "n_kv_heads");
  plan.context = count_of(fields, "context");
  plan.batch = count_of(fields, "batch");
  plan.kv_dtype = text_of(fields, "kv_dtype");
  plan.gpu_memory_bytes = fields.integer("gpu_memory_bytes", 0, INT64_MAX);
  plan.recommended = fields.integer("recommended_kv_heads", 0, INT64_MAX);
  plan.why = text_of(fields, "why");
  plan.warnings = texts_in(json, "warnings");
  for (const Json& option : objects_in(json, "options", path)) {
    plan.options.push_back(read_option(option, path));
  }
  data.plans.push_back(std::move(plan));
}

void add_samples(const Json& json, const std::string& path, ReportData& data) {
  for (const Json& one : objects_in(json, "samples", path)) {
    ReportSample sample{.prompt = text_of(JsonFields(one, path), "prompt"), .continuations = {}};
    for (const Json& text : objects_in(one, "continuations", path)) {
      const JsonFields fields(text, path);
      sample.continuations.push_back({.role = text_of(fields, "role"),
                                      .n_kv_heads = count_of(fields, "n_kv_heads"),
                                      .text = text_of(fields, "text")});
    }
    data.samples.push_back(std::move(sample));
  }
}

void add_run(const Json& json, const std::string& path, ReportData& data) {
  const JsonFields fields(json, path);
  const JsonFields recipe(object_in(json, "recipe"), path);
  ReportRun run{.path = path,
                .version = text_of(fields, "version"),
                .recipe_path = text_of(recipe, "path"),
                .recipe_text = text_of(recipe, "text"),
                .stages = {}};
  for (const Json& stage : objects_in(json, "stages", path)) {
    run.stages.push_back(read_stage(stage, path));
  }
  data.runs.push_back(std::move(run));
}

void add_conversion(const Json& json, const std::string& path, ReportData& data) {
  const JsonFields fields(json, path);
  const JsonFields heads(object_in(json, "n_kv_heads"), path);
  data.conversions.push_back({.path = text_of(fields, "out"),
                              .model = text_of(fields, "model"),
                              .method = text_of(fields, "method"),
                              .version = {},
                              .before = count_of(heads, "before"),
                              .after = count_of(heads, "after"),
                              .arguments = {},
                              .digests = named_texts(object_in(json, "digests"))});
}

void add_manifest(const Json& json, const std::string& path, ReportData& data) {
  const Json& method = object_in(json, "method");
  const JsonFields heads(object_in(method, "n_kv_heads"), path);
  ReportConversion conversion{
      .path = path,
      .model = {},
      .method = text_of(JsonFields(method, path), "name"),
      .version = text_of(JsonFields(object_in(json, "tool"), path), "version"),
      .before = count_of(heads, "before"),
      .after = count_of(heads, "after"),
      .arguments = named_texts(object_in(json, "arguments")),
      .digests = {}};
  for (const char* side : {"source", "output"}) {
    for (const Json& file : objects_in(object_in(json, side), "files", path)) {
      const JsonFields fields(file, path);
      conversion.digests.emplace_back(std::string(side) + ": " + text_of(fields, "path"),
                                      text_of(fields, "sha256"));
    }
  }
  data.conversions.push_back(std::move(conversion));
}

}  // namespace regroup
