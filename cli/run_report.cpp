#include "run_report.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>

#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/config.h"
#include "table.h"

namespace regroup {
namespace {

/// The models of the last evaluation: it lists them only when there are several.
Json evaluated_models(const RunStages& stages) {
  const Json eval = read_strict_json(stages.result("eval"), kManifestJson);
  return eval.contains("models") ? eval["models"] : Json::array({eval});
}

/// What a model makes of a prompt. A sample that cannot be had is no reason to lose the report.
std::optional<std::string> continuation(const std::string& model, const std::string& prompt,
                                        const RunFlags& flags, const Globals& globals) {
  try {
    const Invocation invocation = parse_command_line(
        {"generate", model, "--prompt", prompt, "--max-new-tokens",
         std::to_string(flags.sample_tokens), "--device", globals.device, "--json"});
    return invocation.action().json.at("text").get<std::string>();
  } catch (const Error& error) {
    if (stop_signal() != 0) throw;
    spdlog::warn("no sample of {}: {}", printable(model), error.what());
    return std::nullopt;
  }
}

/// Continuations of the same prompts by every model, for the report.
void write_samples(const RunStages& stages, const RunFlags& flags, const Globals& globals) {
  if (flags.prompts.empty()) return;
  Json samples = Json::array();
  const Json models = evaluated_models(stages);
  for (const std::string& prompt : flags.prompts) {
    Json continuations = Json::array();
    for (const Json& model : models) {
      const auto path = model.at("model_name").get<std::string>();
      if (const auto text = continuation(path, prompt, flags, globals)) {
        continuations.push_back({{"role", model.at("regroup").at("role")},
                                 {"n_kv_heads", model.at("regroup").at("n_kv_heads")},
                                 {"text", *text}});
      }
    }
    samples.push_back({{"prompt", prompt}, {"continuations", continuations}});
  }
  write_file_atomically(stages.result("samples"), Json{{"samples", samples}}.dump(2) + "\n");
}

}  // namespace

void make_run_report(const RunStages& stages, const RunFlags& flags, const Globals& globals) {
  write_samples(stages, flags, globals);
  write_run_report(stages);
}

void write_run_report(const RunStages& stages, const std::vector<std::string>& more) {
  std::vector<std::string> inputs = {"report", stages.result("eval"), stages.out() + "/run.json"};
  for (const char* name : {"plan", "bench", "samples"}) {
    if (path_exists(stages.result(name))) inputs.push_back(stages.result(name));
  }
  for (const std::string& g : stages.kv_heads()) {
    inputs.push_back(stages.folder(g) + "/converted/regroup.json");
  }
  for (const std::string& run : stages.uptrainings()) {
    if (path_exists(run + "/metrics.jsonl")) inputs.push_back(run + "/metrics.jsonl");
  }
  inputs.insert(inputs.end(), more.begin(), more.end());
  for (const char* extension : {"html", "md"}) {
    std::vector<std::string> line = inputs;
    line.insert(line.end(), {"--out", fmt::format("{}/report.{}", stages.out(), extension)});
    parse_command_line(line).action();
  }
}

std::string run_summary(const RunStages& stages) {
  std::vector<std::vector<std::string>> rows = {{"model", "KV heads", "loss", "KL", "recovery"}};
  const Json models = evaluated_models(stages);
  for (const Json& model : models) {
    const Json& first = model.at("results").begin().value();
    const auto cell = [&](const char* key) {
      return first.contains(key) && first[key].is_number()
                 ? without_zero_sign(fmt::format("{:.4f}", first[key].get<double>()))
                 : std::string("-");
    };
    rows.push_back({model.at("regroup").at("role").get<std::string>(),
                    std::to_string(model.at("regroup").at("n_kv_heads").get<int64_t>()),
                    cell("loss,none"), cell("kl,none"), cell("recovery,none")});
  }
  return format_table(rows, 2);
}

}  // namespace regroup
