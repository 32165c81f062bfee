#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/results/damage.h"
#include "regroup/results/evaluation.h"
#include "regroup/results/fidelity_curve.h"
#include "regroup/results/fields.h"
#include "regroup/results/metric.h"
#include "regroup/results/plan.h"
#include "regroup/results/run.h"
#include "regroup/results/samples.h"
#include "regroup/results/speed.h"

namespace regroup {

/// Which measurement two scores must share to be compared.
struct EvaluatedOn {
  std::string text;
  int64_t tokens = 0;  ///< tokens scored
  int64_t seq_len = 0;
  bool operator==(const EvaluatedOn&) const = default;
};

/// One model on one text.
struct ReportScore {
  EvaluatedOn on;
  int64_t windows = 0;
  std::vector<Metric> metrics;  ///< known and unknown ones
  DamageProfile profile;        ///< against the baseline; empty without one
  FidelityCurve curve = {};     ///< likewise
  /// Nothing where it was not measured. By names of namespace metric, or others.
  std::optional<Measured> operator[](std::string_view name) const {
    return find_metric(metrics, name);
  }
};

struct ReportModel {
  std::string role;  ///< "baseline", "converted", "uptrained" or "model"
  std::string name;  ///< the folder, as the user named it
  std::string architecture;
  std::string dtype;  ///< computed in
  std::string digest;
  std::string started_from;  ///< of an uptrained model: the digest of the one it was, if known
  std::string version;       ///< of the regroup that evaluated it
  std::string libtorch;      ///< likewise
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t n_params = 0;
  int64_t kv_bytes_per_token = 0;
  std::vector<ReportScore> scores;
};

/// Which number of a task a score is; equal ones are compared.
struct TaskMetric {
  std::string task;
  std::string metric;  ///< "acc", "exact_match", "word_perplexity" ...
  std::string filter;  ///< of the answers; "none"
  std::optional<int64_t> n_shot;
  bool operator==(const TaskMetric&) const = default;
};

/// A score against the baseline's on the same questions, as eval tested it.
struct ReportPaired {
  Measured delta;
  double low = 0;  ///< 95 % interval
  double high = 0;
  double p = 1;                   ///< corrected for the number of tasks
  std::optional<int64_t> broken;  ///< answers that were right before
  std::optional<int64_t> mended;
  std::optional<double> margin;    ///< what may be lost and is not inferior
  int64_t items_needed = 0;        ///< to see a difference of the margin
  std::optional<double> recovery;  ///< of an uptrained model, where there was a gap
  bool no_gap = false;             ///< of an uptrained model, where there was none
};

/// A score of a task, of eval or of lm-evaluation-harness.
struct ReportTaskScore {
  std::string model;
  TaskMetric on;
  Measured value;
  std::optional<bool> higher_is_better;
  int64_t samples = 0;  ///< 0: not known
  std::optional<ReportPaired> paired = {};
  std::string version = {};  ///< of the task; "" where it is not known
};

/// What a model said to one question of a task.
struct ReportAnswer {
  std::string question;       ///< digest of the document
  std::string prompt;         ///< its end
  std::string prompt_digest;  ///< of all of it
  std::string target;
  std::string said;
  std::vector<double> worth;  ///< [metrics]; NaN: no number
};

/// A samples_*.jsonl of lm-evaluation-harness, or what eval --samples wrote for one model and task.
struct ReportAnswers {
  std::string model;
  bool named_by_folder = false;  ///< the model, as the harness names the folder
  std::string task;
  std::string filter;
  std::vector<std::string> metrics;
  std::vector<ReportAnswer> items;
};

/// What a model recalls of its context, as eval --probe measured it.
struct ReportProbe {
  std::string model;
  std::string role;
  std::string name;
  std::string axis;  ///< what `count` counts
  std::string
      haystack;  ///< what a needle was hidden in, where that is not the same every time; "" else
  std::vector<ProbeCellResult> cells;
  std::optional<bool> baseline_can;
  std::optional<Measured> log_prob_delta;  ///< against the baseline, over all trials
  double low = 0;                          ///< its 95 % interval
  double high = 0;
};

struct CurvePoint {
  int64_t step = 0;  ///< the last step that the point stands for
  int64_t tokens = 0;
  double loss = 0;
};

/// The metrics.jsonl of one uptraining run.
struct ReportUptraining {
  std::string path;
  std::string model;
  std::string teacher;  ///< empty: none
  std::optional<double> kl_weight;
  std::optional<double> temperature;
  std::string method;           ///< of the conversion it started from; empty: not known
  bool calibrated = false;      ///< likewise
  int64_t parent_kv_heads = 0;  ///< likewise; 0: not known
  std::string valid_text;       ///< digest of the validation text
  int64_t seq_len = 0;
  int64_t n_kv_heads = 0;
  int64_t n_params = 0;
  int64_t steps = 0;   ///< done
  int64_t tokens = 0;  ///< seen
  int64_t planned_steps = 0;
  double seconds = 0;             ///< sum of the steps'
  std::vector<CurvePoint> train;  ///< means of buckets of steps, at most kCurvePoints
  std::vector<CurvePoint> valid;  ///< every validation
};
inline constexpr size_t kCurvePoints = 240;

/// A conversion, from `convert --json` or from a folder's regroup.json.
struct ReportConversion {
  std::string path;
  std::string model;
  std::string method;
  std::string version;
  int64_t before = 0;
  int64_t after = 0;
  NamedTexts arguments;
  NamedTexts digests;
};

/// The run.json of `regroup run`.
struct ReportRun {
  std::string path;
  RunRecord record;
};

struct ReportSource {
  std::string path;
  std::string kind;
  std::string sha256;
};

/// A distribution over requests, or over time.
struct ReportSpread {
  double mean = 0;
  double std = 0;
  double p50 = 0;
  double p99 = 0;
};

/// A trace at one number of KV heads.
struct ReportReplayOption {
  int64_t n_kv_heads = 0;
  int64_t completed = 0;
  int64_t rejected = 0;
  int64_t preemptions = 0;
  int64_t budget_bytes = 0;
  double tokens_per_s = 0;
  std::optional<double> cost_per_million_tokens;
  ReportSpread concurrency;
  ReportSpread kv_bytes;
  ReportSpread queue_s;
  ReportSpread ttft_s;
  ReportSpread tpot_s;
};

/// What `replay` simulated.
struct ReportReplay {
  std::string architecture;
  int64_t n_kv_heads = 0;  ///< the model's own
  std::string trace;       ///< "" for one that was made up
  int64_t requests = 0;
  double seconds = 0;
  int64_t devices = 1;
  int64_t memory_bytes = 0;  ///< of each
  std::vector<ReportReplayOption> options;
};

/// A tolerance of a sweep, as it was given or as a point was held against it.
struct ReportTolerance {
  std::string kind;    ///< "loss", "task" or "probe"
  std::string name;    ///< of the text, task or probe; "" for the loss on every text
  std::string metric;  ///< of a task
  std::string unit;    ///< "nats a token" or "points"
  double limit = 0;
};
struct ReportToleranceCheck {
  ReportTolerance tolerance;
  Measured lost;  ///< against the parent; below zero: gained
  double low = 0;
  double high = 0;  ///< of the 95 % interval
  double excess = 0;
  bool within = false;
};

/// What a trace of requests sees of one number of KV heads.
struct ReportSweepTraffic {
  double concurrency = 0;
  double ttft_p99_s = 0;
  double tokens_per_s = 0;
  std::optional<double> cost;  ///< of a million output tokens, in ReportSweep::cost_unit
};

/// A loss against the parent's, on one text.
struct ReportLossIncrease {
  std::string text;
  Measured loss;
  std::optional<Measured> kl;
};

struct ReportSweepPoint {
  int64_t n_kv_heads = 0;
  std::string role;
  int64_t kv_bytes_per_token = 0;
  Measured increase;  ///< of the loss, the mean over texts
  std::vector<ReportLossIncrease> losses;
  std::vector<ReportToleranceCheck> checks;
  std::optional<bool> within;  ///< of every tolerance
  std::optional<ReportSweepTraffic> traffic;
  bool cache_front = false;
  bool cost_front = false;
};

/// What `sweep` found.
struct ReportSweep {
  std::vector<ReportSweepPoint> points;  ///< most heads first
  std::vector<ReportTolerance> tolerances;
  std::optional<int64_t> chosen;
  bool has_traffic = false;
  std::string trace;                  ///< "" for one that was made up
  std::string cost_unit;              ///< "price" or "device hours"
  std::vector<std::string> findings;  ///< sentences without full stops
};

/// Everything a report shows. Selected from the result files, never computed anew.
struct ReportData {
  std::vector<ReportSource> sources;
  std::vector<ReportModel> models;  ///< the baseline first, then by KV heads, most first
  std::vector<ReportTaskScore> task_scores;
  std::vector<ReportAnswers> answers;
  std::vector<ReportProbe> probes;
  std::vector<PlanResult> plans;
  std::vector<ReportReplay> replays;
  std::vector<ReportSweep> sweeps;
  std::vector<SpeedReport> speeds;
  std::vector<ReportUptraining> uptrainings;
  Samples samples;
  std::vector<ReportConversion> conversions;
  std::vector<ReportRun> runs;
  std::vector<DamageReport> damages;
};

/// Reads result files of any kind, told apart by their content; a folder stands for its regroup.json.
/// @throws ConfigError      REPORT_INPUT a file is none of the kinds
/// @throws CheckpointError  a file is missing, not valid JSON, or holds a value of the wrong type
ReportData gather_report(const std::vector<std::string>& paths);

/// One or two sentences for each number of KV heads.
std::vector<std::string> report_verdict(const ReportData& data);

/// One self-contained page without scripts; every text of `data` is escaped.
std::string report_html(const ReportData& data);
std::string report_markdown(const ReportData& data);
std::string report_json(const ReportData& data);
/// One long table: section, model, role, n_kv_heads, metric, x, value, stderr, n.
std::string report_csv(const ReportData& data);

/// Renders `data` in the form that the extension of `out` names: .html, .md, .json or .csv.
/// @throws ConfigError  FLAG_VALUE for any other extension
std::string render_report(const ReportData& data, const std::string& out);

}  // namespace regroup
