#include "kinds/untagged.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kinds/fields.h"

namespace regroup {
namespace {

bool has_object(const Json& file, const char* key) {
  return has_field(file, key, Json::value_t::object);
}
bool has_list(const Json& file, const char* key) {
  return has_field(file, key, Json::value_t::array);
}

/// With a "regroup" beside its results: eval before it had a tag, and the files of eval --harness-out.
bool is_model_result(const Json& json) {
  return json.is_object() && has_object(json, "results") && has_object(json, "regroup");
}

bool is_evaluation(const Json& file) {
  if (is_model_result(file)) return true;
  return has_list(file, "models") && !file["models"].empty() &&
         std::all_of(file["models"].begin(), file["models"].end(), is_model_result);
}

/// results_*.json of lm-evaluation-harness, in any of its versions' layouts.
bool is_harness_result(const Json& file) {
  if (!file.contains("results")) return false;
  for (const char* key : {"lm_eval_version", "n-shot", "versions"}) {
    if (file.contains(key)) return true;
  }
  return has_object(file, "results") && (file.contains("configs") || file.contains("config"));
}

bool is_plan(const Json& file) {
  return !file.contains("format") && has_list(file, "options") && has_object(file, "model");
}

bool is_conversion(const Json& file) {
  return has_object(file, "digests") && has_object(file, "n_kv_heads");
}

bool is_manifest(const Json& file) {
  return has_object(file, "method") && has_object(file, "output");
}

/// metrics.jsonl of uptrain: by its first line.
bool is_training_log(const Json& first) {
  return first.contains("event") || (first.contains("step") && first.contains("loss"));
}

/// samples_*.jsonl of lm-evaluation-harness: by its first line.
bool is_answer(const Json& first) {
  return first.contains("doc_id") &&
         (first.contains("resps") || first.contains("filtered_resps") || first.contains("target"));
}

}  // namespace

const ResultKind* untagged_kind(const Json& file) {
  if (is_evaluation(file)) return &kinds::eval;
  if (is_harness_result(file)) return &kinds::tasks;
  if (is_plan(file)) return &kinds::plan;
  if (has_list(file, "samples")) return &kinds::samples;
  if (is_conversion(file)) return &kinds::conversion;
  if (is_manifest(file)) return &kinds::manifest;
  return has_list(file, "stages") ? &kinds::run : nullptr;
}

const ResultKind* untagged_lines_kind(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return nullptr;
  if (text[start] == '[') {  // as version 0.4.2 of the harness wrote them
    const std::string_view front = text.substr(start, 1 << 16);
    return front.find("\"doc_id\"") != front.npos ? &kinds::answers : nullptr;
  }
  const std::string_view line = text.substr(start, text.find('\n', start) - start);
  const Json first = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!first.is_object()) return nullptr;
  if (is_training_log(first)) return &kinds::uptraining;
  return is_answer(first) ? &kinds::answers : nullptr;
}

}  // namespace regroup
