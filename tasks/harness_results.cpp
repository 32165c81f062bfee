// Results of a model as lm-evaluation-harness's results_*.json hold them.
#include "regroup/tasks/harness_results.h"

#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/base/harness_name.h"
#include "regroup/version.h"

namespace regroup {
namespace {

constexpr const char* kHarnessVersion = "0.4.13";  // whose layout and conventions these are

/// A row as the harness has it: metrics and their errors. What else is known of a text or probe stands in --out.
Json harness_row(const std::string& name, const Json& row, const Json& model, bool is_group) {
  Json out = {{"name", name}, {"alias", row.value("alias", name)}};
  const Json::json_pointer effective = Json::json_pointer("/n-samples") / name / "effective";
  const int64_t known = model.contains(effective) ? model[effective].get<int64_t>() : 0;
  out["sample_len"] = row.value("sample_len", known);
  Json counts = Json::object();
  for (const auto& [key, value] : row.items()) {
    const size_t comma = key.find(',');
    if (comma == std::string::npos) continue;
    out[key] = value;
    if (!key.substr(0, comma).ends_with("_stderr")) counts[key] = out["sample_len"];
  }
  if (is_group) out["sample_count"] = std::move(counts);
  return out;
}

Json harness_rows(const Json& model, const char* part, const Json& groups) {
  Json rows = Json::object();
  for (const auto& [name, row] : model.at(part).items()) {
    rows[name] = harness_row(name, row, model, groups.contains(name));
  }
  return rows;
}

/// "f32" -> "torch.float32"
std::string torch_dtype(const std::string& name) {
  if (name == "f32") return "torch.float32";
  if (name == "bf16") return "torch.bfloat16";
  return name == "f16" ? "torch.float16" : name;
}

Json config_of_run(const Json& config, const HarnessRun& run, const std::string& path) {
  const std::string dtype = config.value("model_dtype", "");
  const auto known = [&](const char* key, const Json& otherwise) {
    return config.value(key, otherwise);
  };
  return {{"model", "regroup"},
          {"model_args", {{"pretrained", path}, {"dtype", dtype}}},
          {"model_num_parameters", known("model_num_parameters", Json())},
          {"model_dtype", torch_dtype(dtype)},
          {"model_revision", "main"},
          {"model_sha", ""},
          {"batch_size", known("batch_size", Json())},
          {"batch_sizes", Json::array()},
          {"device", run.device},
          {"use_cache", Json()},
          {"limit", known("limit", Json())},
          {"bootstrap_iters", known("bootstrap_iters", Json())},
          {"gen_kwargs", Json()},
          {"random_seed", 0},
          {"numpy_seed", 1234},
          {"torch_seed", 1234},
          {"fewshot_seed", known("fewshot_seed", 1234)}};
}

}  // namespace

std::string harness_date(double seconds) {
  const auto whole = static_cast<std::time_t>(std::floor(seconds));
  const auto micro = static_cast<int>((seconds - std::floor(seconds)) * 1e6);
  std::tm t = {};
  ::localtime_r(&whole, &t);
  return fmt::format("{:04}-{:02}-{:02}T{:02}-{:02}-{:02}.{:06}", t.tm_year + 1900, t.tm_mon + 1,
                     t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, micro);
}

Json harness_results(const Json& model, const std::map<std::string, std::string>& task_hashes,
                     const HarnessRun& run) {
  const std::string path = model.at("model_name");
  const Json groups = model.value("groups", Json::object());
  Json out = {{"results", harness_rows(model, "results", groups)}};
  if (!groups.empty()) out["groups"] = harness_rows(model, "groups", groups);
  for (const char* key :
       {"group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples"}) {
    out[key] = model.value(key, Json::object());
  }
  const Json about = model.value("regroup", Json::object());
  out["config"] = config_of_run(model.at("config"), run, path);
  out["git_hash"] = Json();
  out["date"] = run.started;
  out["pretty_env_info"] =
      fmt::format("regroup {}, LibTorch {}", kVersion, about.value("libtorch", "N/A"));
  out["transformers_version"] = "N/A";
  out["lm_eval_version"] = kHarnessVersion;
  out["upper_git_hash"] = Json();
  out["max_length"] = run.max_length;
  out["task_hashes"] = Json::object();
  for (const auto& [row, hash] : task_hashes) out["task_hashes"][row] = hash;
  out["model_source"] = "regroup";
  out["model_name"] = path;
  out["model_name_sanitized"] = harness_file_name(path);
  for (const char* key : {"system_instruction", "system_instruction_sha"}) out[key] = Json();
  out["fewshot_as_multiturn"] = model.at("config").value("fewshot_as_multiturn", false);
  const std::string& chat = run.chat_template;
  out["chat_template"] = chat.empty() ? Json() : Json(chat);
  out["chat_template_sha"] = chat.empty() ? Json() : Json(sha256_of_text(chat));
  out["total_evaluation_time_seconds"] = fmt::format("{}", run.seconds);
  out["regroup"] = about;
  return out;
}

}  // namespace regroup
