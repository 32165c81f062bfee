// The run.json of `regroup run`.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"

namespace regroup {
namespace {

void add(const Json& json, const std::string& path, ReportData& data) {
  data.runs.push_back({.path = path, .record = read_run_record(json, path)});
}

Json run_json(const ReportRun& run) {
  Json json = {{"path", run.path},
               {"version", run.record.version},
               {"recipe", {{"path", run.record.recipe_path}, {"text", run.record.recipe_text}}},
               {"stages", Json::array()}};
  for (const RunStage& stage : run.record.stages) {
    json["stages"].push_back({{"name", stage.name},
                              {"state", stage.state},
                              {"seconds", optional_json(stage.seconds)},
                              {"arguments", stage.arguments},
                              {"inputs", pairs_json(stage.inputs)}});
  }
  return json;
}

Json json(const ReportData& data) { return list_json(data.runs, run_json); }

}  // namespace

const ResultKind kinds::run{
    .name = "run", .format = kRunFormat, .add = add, .key = "runs", .json = json};

}  // namespace regroup
