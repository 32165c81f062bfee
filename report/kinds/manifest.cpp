// The regroup.json of a folder: a conversion as well, which kinds/conversion.cpp shows.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"

namespace regroup {
namespace {

void add(const Json& json, const std::string& path, ReportData& data) {
  const Json& method = object_in(json, "method", path);
  const JsonFields heads(object_in(method, "n_kv_heads", path), path);
  ReportConversion conversion{
      .path = path,
      .model = {},
      .method = text_of(JsonFields(method, path), "name"),
      .version = text_of(JsonFields(object_in(json, "tool", path), path), "version"),
      .before = count_of(heads, "before"),
      .after = count_of(heads, "after"),
      .arguments = named_texts(object_in(json, "arguments", path)),
      .digests = {}};
  for (const char* side : {"source", "output"}) {
    for (const Json& file : objects_in(object_in(json, side, path), "files", path)) {
      const JsonFields fields(file, path);
      conversion.digests.emplace_back(std::string(side) + ": " + text_of(fields, "path"),
                                      text_of(fields, "sha256"));
    }
  }
  data.conversions.push_back(std::move(conversion));
}

}  // namespace

const ResultKind kinds::manifest{.name = "manifest", .format = "regroup-manifest/1", .add = add};

}  // namespace regroup
