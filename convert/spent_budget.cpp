#include "regroup/convert/spent_budget.h"

#include <nlohmann/json.hpp>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/output_path.h"

namespace regroup {

Json budget_json(const CalibrationBudget& budget) {
  return {{"seconds", budget.seconds},
          {"share", budget.share},
          {"pretraining_tokens", budget.pretraining_tokens}};
}

void recall_budget(const ConvertOptions& options, CalibrationOptions& calibration) {
  if (!calibration.budget.is_open() || options.output.resume == ResumeMode::kNever) return;
  const std::string path = without_last_slash(options.out) + ".partial/JOB.json";
  if (!path_exists(path)) return;
  try {
    const Json job = read_strict_json(path, kManifestJson);
    if (job.value(kBudgetKey, Json()) != budget_json(calibration.budget)) return;
    const Json& decided = job.at("arguments").at("calibration");
    const auto take = [&](const char* key, bool open, int64_t& value) {
      if (open) value = decided.at(key).get<int64_t>();
    };
    take("tokens", calibration.budget.spreads_tokens, calibration.tokens);
    take("layer_steps", calibration.budget.spreads_steps, calibration.layer_steps);
    take("seq_len", calibration.seq_len == 0, calibration.seq_len);
    calibration.budget.spread = true;
  } catch (const CheckpointError&) {  // damaged: OutputFolder says so
  } catch (const Json::exception&) {
  }
}

}  // namespace regroup
