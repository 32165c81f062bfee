// Recovery for programs: JSON, and rows of the long table.
#include "recovery.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

const char* reached_name(Reached reached) {
  if (reached == Reached::kAtTheStart) return "at the start";
  return reached == Reached::kLater ? "later" : "not reached";
}

/// Whole tokens; null where the share was never closed.
Json tokens_json(const Crossing& crossing) {
  return crossing.reached == Reached::kNever ? Json() : Json(std::llround(crossing.tokens));
}

Json run_json(const RecoveryRun& run) {
  return {
      {"label", run.label},
      {"path", run.run->path},
      {"model", run.run->model},
      {"tokens", run.run->tokens},
      {"val_loss", {{"first", run.run->valid.front().loss}, {"last", run.run->valid.back().loss}}}};
}

Json crossings_json(const RecoveryRun& run) {
  Json json = Json::array();
  for (size_t p = 0; p < kRecoveryPercents.size(); ++p) {
    json.push_back({{"percent", kRecoveryPercents[p]},
                    {"reached", reached_name(run.crossings[p].reached)},
                    {"tokens", tokens_json(run.crossings[p])}});
  }
  return json;
}

Json recovery_json(const Recovery& recovery) {
  Json json = {
      {"n_kv_heads", recovery.n_kv_heads},
      {"parent_loss", recovery.parent_loss},
      {"parent_loss_from", recovery.parent_by_control ? "control" : "eval"},
      {"worst_start",
       {{"label", recovery.runs[recovery.worst].label}, {"val_loss", recovery.worst_loss()}}},
      {"runs", Json::array()},
      {"controls", Json::array()}};
  for (const RecoveryRun& run : recovery.runs) {
    json["runs"].push_back(run_json(run));
    json["runs"].back()["crossings"] = recovery.has_gap() ? crossings_json(run) : Json();
  }
  for (const RecoveryRun& run : recovery.controls) json["controls"].push_back(run_json(run));
  return json;
}

std::string run_csv(const Recovery& recovery, const RecoveryRun& run) {
  std::string csv;
  for (size_t p = 0; p < kRecoveryPercents.size(); ++p) {
    const Crossing& crossing = run.crossings[p];
    const bool reached = crossing.reached != Reached::kNever;
    csv += csv_line({.section = "recovery",
                     .model = run.run->model,
                     .role = "uptrained",
                     .n_kv_heads = recovery.n_kv_heads,
                     .metric = fmt::format("{}:tokens_to_{}", run.label, kRecoveryPercents[p]),
                     .value = reached ? std::to_string(std::llround(crossing.tokens)) : ""});
  }
  return csv;
}

Json json(const ReportData& data) {
  Json all = Json::array();
  for (const Recovery& recovery : find_recoveries(data)) all.push_back(recovery_json(recovery));
  return all;
}

std::string csv(const ReportData& data) {
  std::string text;
  for (const Recovery& recovery : find_recoveries(data)) {
    if (!recovery.has_gap()) continue;
    for (const RecoveryRun& run : recovery.runs) text += run_csv(recovery, run);
  }
  return text;
}

}  // namespace

const ResultKind kinds::recovery{.name = "recovery", .key = "recovery", .json = json, .csv = csv};

}  // namespace regroup
