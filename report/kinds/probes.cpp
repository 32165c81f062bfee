// What models recall of their context. eval's files hold it: this shows it again.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

Json measured_json(const Measured& measured) {
  return {{"value", measured.value}, {"stderr", optional_json(measured.error)}};
}

Json probe_json(const ReportProbe& probe) {
  Json json = {
      {"model", probe.model},
      {"role", probe.role},
      {"probe", probe.name},
      {"axis", probe.axis},
      {"haystack", probe.haystack},
      {"baseline_can", optional_json(probe.baseline_can)},
      {"log_prob_delta", probe.log_prob_delta ? measured_json(*probe.log_prob_delta) : Json()},
      {"cells", Json::array()}};
  for (const ProbeCellResult& cell : probe.cells) {
    json["cells"].push_back({{"length", cell.length},
                             {"depth", optional_json(cell.depth)},
                             {"count", optional_json(cell.count)},
                             {"log_prob", measured_json(cell.log_prob)},
                             {"acc", measured_json(cell.accuracy)},
                             {"trials", cell.trials}});
  }
  return json;
}

/// "1024@0.25", "64": where a cell stands.
std::string place_of(const ProbeCellResult& cell) {
  if (cell.depth) return fmt::format("{}@{}", cell.length, *cell.depth);
  return fmt::format("{}", cell.count.value_or(cell.length));
}

std::string csv(const ReportData& data) {
  std::string text;
  for (const ReportProbe& probe : data.probes) {
    for (const ProbeCellResult& cell : probe.cells) {
      for (const auto& [metric, value] :
           {std::pair{"log_prob", cell.log_prob}, std::pair{"acc", cell.accuracy}}) {
        text += csv_line({.section = "recall",
                          .model = probe.model,
                          .role = probe.role,
                          .metric = probe.name + ":" + metric,
                          .x = place_of(cell),
                          .value = csv_number(value.value),
                          .error = value.error ? csv_number(*value.error) : "",
                          .n = std::to_string(cell.trials)});
      }
    }
  }
  return text;
}

Json json(const ReportData& data) { return list_json(data.probes, probe_json); }

}  // namespace

const ResultKind kinds::probes{.name = "probes", .key = "probes", .json = json, .csv = csv};

}  // namespace regroup
