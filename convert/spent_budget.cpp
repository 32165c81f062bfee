#include "regroup/convert/spent_budget.h"

#include <array>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/output_path.h"

namespace regroup {

Json budget_json(const CalibrationBudget& budget) {
  return {{"seconds", budget.seconds},
          {"share", budget.share},
          {"pretraining_tokens", budget.pretraining_tokens}};
}

namespace {

/// What becomes a number of its own once a budget is spread.
constexpr std::array kNumbers = {"tokens",     "layer_steps", "layer_lr",   "distill_steps",
                                 "distill_lr", "seq_len",     "layer_batch"};

std::string asked_path(const std::string& partial) { return partial + "/calibration/ASKED.json"; }

Json or_null(const auto& number) { return number ? Json(*number) : Json(); }

Json asked(const CalibrationOptions& c) {
  return {{"budget", budget_json(c.budget)},
          {"tokens", c.tokens},
          {"layer_steps", c.layer_steps},
          {"layer_lr", or_null(c.layer_lr)},
          {"distill_steps", or_null(c.distill_steps)},
          {"distill_lr", or_null(c.distill_lr)},
          {"seq_len", c.seq_len},
          {"layer_batch", c.layer_batch},
          {"step_tokens", c.step_tokens}};
}

}  // namespace

void note_asked(const std::string& partial, const CalibrationOptions& calibration) {
  if (!calibration.budget.given()) return;
  write_file_atomically(asked_path(partial), asked(calibration).dump(2) + "\n");
}

void recall_budget(const ModelFolder& model, const ConvertOptions& options,
                   CalibrationOptions& calibration) {
  if (!calibration.budget.is_open() || options.output.resume == ResumeMode::kNever) return;
  const std::string partial = without_last_slash(options.out) + ".partial";
  if (!path_exists(partial + "/JOB.json") || !path_exists(asked_path(partial))) return;
  try {
    if (read_strict_json(asked_path(partial), kManifestJson) != asked(calibration)) return;
    const Json before = read_strict_json(partial + "/JOB.json", kManifestJson);
    const Json& decided = before.at("arguments").at("calibration");
    Json ours = conversion_job(model, options);
    for (const char* key : kNumbers) {
      if (decided.contains(key)) ours["arguments"]["calibration"][key] = decided.at(key);
    }
    if (before != ours) return;
    calibration.tokens = decided.at("tokens").get<int64_t>();
    calibration.layer_steps = decided.at("layer_steps").get<int64_t>();
    calibration.distill_steps = decided.at("distill_steps").get<int64_t>();
    calibration.seq_len = decided.at("seq_len").get<int64_t>();
    calibration.layer_batch = decided.at("layer_batch").get<int64_t>();
    calibration.budget.spread = true;
  } catch (const CheckpointError&) {  // damaged: OutputFolder says so
  } catch (const Json::exception&) {
  }
}

}  // namespace regroup
