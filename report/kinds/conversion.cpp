// The JSON of convert.
#include "regroup/results/conversion.h"

#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"

namespace regroup {
namespace {

void add(const Json& json, const std::string& path, ReportData& data) {
  const ConversionResult result = read_conversion(json, path);
  data.conversions.push_back({.path = result.out,
                              .model = result.model,
                              .method = result.method,
                              .version = {},
                              .before = result.kv_heads_before,
                              .after = result.kv_heads_after,
                              .arguments = {},
                              .digests = result.digests});
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

const ResultKind kinds::conversion{.name = "conversion",
                                   .format = kConversionFormat,
                                   .add = add,
                                   .key = "conversions",
                                   .json = json};

}  // namespace regroup
