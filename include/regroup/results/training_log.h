#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// The tag of metrics.jsonl, in its event "start".
inline constexpr const char* kTrainingLogFormat = "regroup training-log/1";

/// What one step is reported as.
struct StepMetrics {
  int64_t step = 0;
  int64_t tokens = 0;        ///< seen so far
  double loss = 0;           ///< nats a token, of this step's batch
  std::optional<double> ce;  ///< with a teacher: the loss's parts, nats a token
  std::optional<double> kl;
  double learning_rate = 0;
  double grad_norm = 0;
  double tokens_per_s = 0;
  double step_s = 0;
  std::optional<double> val_loss;
};
/// As a line of metrics.jsonl has it.
Json to_json(const StepMetrics& metrics);
StepMetrics step_metrics_of(const Json& json);

/// How the model was converted that a run started from.
struct StartConversion {
  std::string method;
  bool calibrated = false;
  int64_t kv_heads_before = 0;
  int64_t kv_heads_after = 0;
};

/// What one has to know of a run to compare its curve with another's.
struct TrainingStart {
  std::string model;
  std::optional<StartConversion> conversion = {};  ///< where the model's manifest tells
  int64_t n_kv_heads = 0;
  int64_t n_params = 0;
  int64_t n_trainable = 0;
  std::string teacher = {};                ///< "": none
  std::optional<double> kl_weight = {};    ///< with a teacher
  std::optional<double> temperature = {};  ///< likewise
  int64_t tokens_per_step = 0;
  int64_t steps = 0;  ///< planned
  double learning_rate = 0;
  int64_t warmup_steps = 0;
  std::string rates_chosen = {};  ///< from what; "" where they were given
  int64_t seq_len = 0;
  double flops_per_token = 0;
  std::string valid = {};               ///< digest of the validation text; "" without one
  std::optional<double> val_loss = {};  ///< before the first step
};
/// The facts of the event "start", with the tag.
Json training_start_json(const TrainingStart& start);

/// A loss on the validation text.
struct Validation {
  int64_t step = 0;
  int64_t tokens = 0;
  double loss = 0;
};

/// A metrics.jsonl.
struct TrainingLog {
  TrainingStart start;
  std::vector<StepMetrics> steps;  ///< of those that a resumed run did again the later ones
  std::vector<Validation> validations;
  double seconds = 0;  ///< sum of all steps'
};
/// A last line that is not whole is left out.
/// @throws CheckpointError RESULT_FORMAT for another tag; JSON_SYNTAX, CFG_TYPE, CFG_RANGE naming the line
TrainingLog read_training_log(std::string_view lines, const std::string& path);

}  // namespace regroup
