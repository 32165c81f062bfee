// What compare measured.
#include "regroup/results/damage.h"

#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

void add(const Json& file, const std::string& path, ReportData& data) {
  data.damages.push_back(read_damage(file, path));
}

Json json(const ReportData& data) { return list_json(data.damages, damage_json); }

std::string damage_csv(const DamageReport& report) {
  std::string csv;
  for (const DamageEntry& entry : report.entries) {
    const std::pair<const char*, const Measured*> values[] = {{"loss", &entry.loss},
                                                              {"loss_delta", &entry.loss_delta},
                                                              {"kl", &entry.kl},
                                                              {"top1_agreement", &entry.agreement}};
    for (const auto& [metric, value] : values) {
      csv += csv_line({.section = "damage",
                       .model = report.model,
                       .role = entry.method,
                       .n_kv_heads = entry.n_kv_heads,
                       .metric = report.text + ":" + metric,
                       .value = csv_number(value->value),
                       .error = value->error ? csv_number(*value->error) : "",
                       .n = std::to_string(report.tokens)});
    }
  }
  return csv;
}

std::string csv(const ReportData& data) {
  std::string text;
  for (const DamageReport& damage : data.damages) text += damage_csv(damage);
  return text;
}

}  // namespace

const ResultKind kinds::damage{.name = "damage",
                               .format = kDamageFormat,
                               .add = add,
                               .key = "damage",
                               .json = json,
                               .csv = csv};

}  // namespace regroup
