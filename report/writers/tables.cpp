// The same data for programs: JSON, and one long table.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "regroup/report/report.h"
#include "regroup/version.h"
#include "writers/csv_row.h"
#include "writers/escape.h"

namespace regroup {
namespace {

Json source_json(const ReportSource& source) {
  return {{"path", source.path}, {"kind", source.kind}, {"sha256", source.sha256}};
}

}  // namespace

std::string csv_number(double value) { return fmt::format("{}", value); }

/// Numbers are written as they are; only texts can be taken for formulas.
std::string csv_line(const CsvRow& row) {
  return fmt::format("{},{},{},{},{},{},{},{},{}\n", row.section, escape_csv(row.model),
                     escape_csv(row.role), row.n_kv_heads, escape_csv(row.metric), row.x, row.value,
                     row.error, row.n);
}

std::string report_json(const ReportData& data) {
  Json json = {{"schema", "regroup-report/1"},
               {"tool", {{"name", "regroup"}, {"version", kVersion}}},
               {"verdict", report_verdict(data)}};
  for (const ResultKind* kind : result_kinds()) {
    if (kind->json != nullptr) json[kind->key] = kind->json(data);
  }
  json["sources"] = list_json(data.sources, source_json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string report_csv(const ReportData& data) {
  std::string csv = "section,model,role,n_kv_heads,metric,x,value,stderr,n\n";
  for (const ResultKind* kind : result_kinds()) {
    if (kind->csv != nullptr) csv += kind->csv(data);
  }
  return csv;
}

}  // namespace regroup
