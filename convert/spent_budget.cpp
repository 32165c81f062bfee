#include "regroup/convert/spent_budget.h"

#include <array>
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

void recall_budget(const ModelFolder& model, const ConvertOptions& options,
                   CalibrationOptions& calibration) {
  if (!calibration.budget.is_open() || options.output.resume == ResumeMode::kNever) return;
  const std::string path = without_last_slash(options.out) + ".partial/JOB.json";
  if (!path_exists(path)) return;
  struct Number {
    const char* key;
    bool open;
    int64_t& value;
  };
  const std::array<Number, 4> numbers = {
      {{"tokens", calibration.budget.spreads_tokens, calibration.tokens},
       {"layer_steps", calibration.budget.spreads_steps, calibration.layer_steps},
       {"seq_len", calibration.seq_len == 0, calibration.seq_len},
       {"layer_batch", calibration.layer_batch == 0, calibration.layer_batch}}};
  try {
    const Json before = read_strict_json(path, kManifestJson);
    Json ours = conversion_job(model, options);
    for (const Number& n : numbers) {
      if (n.open)
        ours["arguments"]["calibration"][n.key] =
            before.at("arguments").at("calibration").at(n.key);
    }
    if (before != ours) return;
    for (const Number& n : numbers) {
      if (n.open) n.value = ours["arguments"]["calibration"][n.key].get<int64_t>();
    }
    calibration.budget.spread = true;
  } catch (const CheckpointError&) {  // damaged: OutputFolder says so
  } catch (const Json::exception&) {
  }
}

}  // namespace regroup
