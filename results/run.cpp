#include "regroup/results/run.h"

#include <nlohmann/json.hpp>

namespace regroup {
namespace {

Json stage_json(const RunStage& stage) {
  Json json = {{"name", stage.name},
               {"arguments", stage.arguments},
               {"fingerprint", stage.fingerprint},
               {"state", stage.state}};
  if (stage.seconds) json["seconds"] = *stage.seconds;
  for (const auto& [name, digest] : stage.inputs) json["inputs"][name] = digest;
  return json;
}

RunStage read_stage(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  return {.name = text_of(fields, "name"),
          .state = text_of(fields, "state"),
          .seconds = fields.number("seconds"),
          .arguments = texts_in(json, "arguments", path),
          .inputs = named_texts(object_in(json, "inputs", path)),
          .fingerprint = text_of(fields, "fingerprint")};
}

}  // namespace

Json run_record_json(const RunRecord& run) {
  Json json = {{"format", kRunFormat},
               {"stages", Json::array()},
               {"version", run.version},
               {"recipe", {{"path", run.recipe_path}, {"text", run.recipe_text}}}};
  for (const RunStage& stage : run.stages) json["stages"].push_back(stage_json(stage));
  return json;
}

RunRecord read_run_record(const Json& json, const std::string& path) {
  require_format(json, kRunFormat, path);
  const JsonFields recipe(object_in(json, "recipe", path), path);
  RunRecord run{.version = text_of(JsonFields(json, path), "version"),
                .recipe_path = text_of(recipe, "path"),
                .recipe_text = text_of(recipe, "text"),
                .stages = {}};
  for (const Json& stage : objects_in(json, "stages", path)) {
    run.stages.push_back(read_stage(stage, path));
  }
  return run;
}

}  // namespace regroup
