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
#include "regroup/results/evaluation.h"
#include "regroup/results/samples.h"
#include "table.h"

namespace regroup {
namespace {

/// The last evaluation.
Evaluation last_evaluation(const RunStages& stages) {
  const std::string path = stages.result("eval");
  return read_evaluation(read_strict_json(path, kManifestJson), path);
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
  Samples samples;
  const Evaluation evaluation = last_evaluation(stages);
  for (const std::string& prompt : flags.prompts) {
    Sample sample{.prompt = prompt, .continuations = {}};
    for (const ModelResult& model : evaluation.models) {
      if (const auto text = continuation(model.name, prompt, flags, globals)) {
        sample.continuations.push_back(
            {.role = model.role, .n_kv_heads = model.n_kv_heads, .text = *text});
      }
    }
    samples.push_back(std::move(sample));
  }
  write_file_atomically(stages.result("samples"), samples_json(samples).dump(2) + "\n");
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
  for (const ModelResult& model : last_evaluation(stages).models) {
    const auto cell = [&](const char* name) {
      const auto found =
          model.texts.empty() ? std::nullopt : find_metric(model.texts.front().metrics, name);
      return found ? without_zero_sign(fmt::format("{:.4f}", found->value)) : std::string("-");
    };
    rows.push_back({model.role, std::to_string(model.n_kv_heads), cell(metric::kLoss),
                    cell(metric::kKl), cell(metric::kRecovery)});
  }
  return format_table(rows, 2);
}

}  // namespace regroup
