#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/results/damage_profile.h"
#include "regroup/results/fidelity_curve.h"
#include "regroup/results/metric.h"

namespace regroup {

inline constexpr const char* kEvaluationFormat = "regroup eval/1";
/// Of every line of the file of eval --samples.
inline constexpr const char* kAnswersFormat = "regroup answers/1";

/// One model on one text.
struct TextResult {
  std::string name;
  std::vector<Metric> metrics;
  int64_t tokens = 0;  ///< scored
  std::optional<int64_t> bytes = {};
  std::optional<int64_t> words = {};
  int64_t windows = 0;
  int64_t seq_len = 0;
  int64_t batch_tokens = 0;                    ///< fed at once, about
  std::optional<DamageProfile> profile = {};   ///< against the baseline
  std::optional<FidelityCurve> fidelity = {};  ///< likewise
};

/// A task, a part of one, or a group of parts.
struct TaskResult {
  std::string name;
  std::vector<Metric> metrics;
  int64_t items = 0;     ///< that were asked
  int64_t original = 0;  ///< that there are
  std::optional<int64_t> n_shot = {};
  std::string version = {};  ///< "" where it is not known
  bool is_group = false;
  std::vector<std::string> members = {};  ///< of a group: the rows right below it
  std::string output_type = {};           ///< "multiple_choice" ...
  std::vector<std::string> data_sha256 = {};
  std::optional<int64_t> batch_tokens = {};
};

/// How a gap was closed: (uptrained - converted) / (baseline - converted).
struct GapClosed {
  bool measurable = false;  ///< else there was no gap to speak of
  double value = 0;
  double low = 0;  ///< 95 % interval
  double high = 0;
  int64_t dropped = 0;  ///< resamples without a gap
};

/// A score against the baseline's on the same questions.
struct TaskDifference {
  std::string task;
  std::string measure;  ///< metric_title()
  int64_t items = 0;
  Measured delta;
  double low = 0;  ///< 95 % interval
  double high = 0;
  double p = 1;
  double p_holm = 1;                      ///< corrected for the number of tasks
  std::optional<int64_t> broken = {};     ///< of right and wrong answers: right before, wrong now
  std::optional<int64_t> mended = {};     ///< likewise wrong before, right now
  std::optional<double> flips = {};       ///< both, as a share of the items
  std::optional<double> margin = {};      ///< what may be lost
  std::optional<bool> non_inferior = {};  ///< no more than that is lost
  std::optional<int64_t> items_needed = {};  ///< to see a difference of the margin
  std::optional<GapClosed> recovery = {};    ///< of an uptrained model
};

/// What a model did in one cell of a probe.
struct ProbeCellResult {
  int64_t length = 0;
  std::optional<double> depth = {};
  std::optional<int64_t> count = {};
  Measured log_prob;  ///< nats a token of the answer
  Measured accuracy;
  int64_t trials = 0;
};

/// The user's text that needles were hidden in.
struct HaystackText {
  std::string name;
  std::string xxh3;
  int64_t sentences = 0;
};

/// The answers of a probe against the baseline's.
struct ProbeDifference {
  Measured delta;  ///< nats a token
  double low = 0;  ///< 95 % interval
  double high = 0;
  double p = 1;
};

/// What a model recalls of its context.
struct ProbeResult {
  std::string name;
  Measured log_prob;  ///< over all cells
  Measured accuracy;
  int64_t trials = 0;
  std::vector<ProbeCellResult> cells = {};
  std::string axis = {};  ///< what `count` counts
  double passing = 0;     ///< log-probability above which a model can do it
  int64_t trials_of_a_cell = 0;
  std::optional<int64_t> batch_tokens = {};
  std::string haystack = {};                 ///< "noise", "needles", "text"; "" without one
  std::optional<bool> noise_stands_in = {};  ///< of a probe that asks for a text
  std::optional<HaystackText> text = {};
  std::optional<bool> baseline_can = {};
  std::optional<ProbeDifference> difference = {};
};

/// How tasks were asked.
struct TaskRun {
  std::optional<int64_t> limit = {};
  int64_t bootstrap_iterations = 0;
  int64_t shot_seed = 0;
  std::string bos_mode = {};
  bool apply_chat_template = false;
  bool as_multiturn = false;
};

/// One model and all that it was measured on.
struct ModelResult {
  std::string name;  ///< the folder, as the user named it
  std::string role;  ///< "baseline", "converted", "uptrained" or "model"
  std::string architecture = {};
  std::string dtype = {};  ///< computed in
  std::string digest = {};
  std::string started_from = {};  ///< of an uptrained model: the digest of the one it was, if known
  std::string baseline = {};      ///< name of the model it is compared with; "" without one
  std::string version = {};       ///< of the regroup that evaluated it
  std::string libtorch = {};      ///< likewise
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t n_params = 0;
  int64_t kv_bytes_per_token = 0;
  int64_t batch_size = 0;  ///< 0: chosen by itself
  std::vector<TextResult> texts = {};
  std::vector<TaskResult> tasks = {};
  std::vector<ProbeResult> probes = {};
  std::optional<TaskRun> task_run = {};  ///< where there are tasks
  std::optional<std::vector<TaskDifference>> paired = {};
  std::vector<std::pair<std::string, std::vector<int64_t>>> left_out =
      {};                                                       ///< of a task: its items
  std::vector<std::pair<std::string, int64_t>> truncated = {};  ///< of a task: how many requests
};

/// What `eval` measured.
struct Evaluation {
  std::vector<ModelResult> models;
};

/// In lm-evaluation-harness's layout, with a tag: one object for one model, else {"models": [...]}.
Json evaluation_json(const Evaluation& evaluation);
/// One model's, without the tag.
Json model_result_json(const ModelResult& model);

/// What evaluation_json() wrote; files in the harness's own layout that have a "regroup" too.
/// @throws CheckpointError RESULT_FORMAT for another tag; CFG_TYPE, CFG_RANGE for a value of the wrong type
Evaluation read_evaluation(const Json& json, const std::string& path);

/// The tasks of one model in results of lm-evaluation-harness, of any of its versions.
struct HarnessTasks {
  std::string model;  ///< its name, else that of the file
  std::vector<TaskResult> tasks;
};
/// @throws CheckpointError CFG_TYPE
HarnessTasks read_harness_tasks(const Json& json, const std::string& path);

}  // namespace regroup
