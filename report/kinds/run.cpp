// The run.json of `regroup run`.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"

namespace regroup {
namespace {

bool matches(const Json& file) { return has_field(file, "stages", Json::value_t::array); }

ReportStage read_stage(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  return {.name = text_of(fields, "name"),
          .state = text_of(fields, "state"),
          .seconds = fields.number("seconds"),
          .arguments = texts_in(json, "arguments"),
          .inputs = named_texts(object_in(json, "inputs"))};
}

void add(const Json& json, const std::string& path, ReportData& data) {
  const JsonFields fields(json, path);
  const JsonFields recipe(object_in(json, "recipe"), path);
  ReportRun run{.path = path,
                .version = text_of(fields, "version"),
                .recipe_path = text_of(recipe, "path"),
                .recipe_text = text_of(recipe, "text"),
                .stages = {}};
  for (const Json& stage : objects_in(json, "stages", path)) {
    run.stages.push_back(read_stage(stage, path));
  }
  data.runs.push_back(std::move(run));
}

Json run_json(const ReportRun& run) {
  Json json = {{"path", run.path},
               {"version", run.version},
               {"recipe", {{"path", run.recipe_path}, {"text", run.recipe_text}}},
               {"stages", Json::array()}};
  for (const ReportStage& stage : run.stages) {
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
    .name = "run", .matches = matches, .add = add, .key = "runs", .json = json};

}  // namespace regroup
