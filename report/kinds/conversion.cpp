// The JSON of convert.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"

namespace regroup {
namespace {

bool matches(const Json& file) {
  return has_field(file, "digests", Json::value_t::object) &&
         has_field(file, "n_kv_heads", Json::value_t::object);
}

void add(const Json& json, const std::string& path, ReportData& data) {
  const JsonFields fields(json, path);
  const JsonFields heads(object_in(json, "n_kv_heads"), path);
  data.conversions.push_back({.path = text_of(fields, "out"),
                              .model = text_of(fields, "model"),
                              .method = text_of(fields, "method"),
                              .version = {},
                              .before = count_of(heads, "before"),
                              .after = count_of(heads, "after"),
                              .arguments = {},
                              .digests = named_texts(object_in(json, "digests"))});
}

Json conversion_json(const ReportConversion& conversion) {
  return {{"path", conversion.path},
          {"model", conversion.model},
          {"method", conversion.method},
          {"version", conversion.version},
          {"n_kv_heads", {{"before", conversion.before}, {"after", conversion.after}}},
          {"arguments", pairs_json(conversion.arguments)},
          {"digests", pairs_json(conversion.digests)}};
}

Json json(const ReportData& data) { return list_json(data.conversions, conversion_json); }

}  // namespace

const ResultKind kinds::conversion{
    .name = "conversion", .matches = matches, .add = add, .key = "conversions", .json = json};

}  // namespace regroup
