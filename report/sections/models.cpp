#include "sections/models.h"

#include <fmt/format.h>

#include <algorithm>

#include "report_numbers.h"
#include "report_queries.h"

namespace regroup {

Cell model_cell(const ReportData& data, const ReportModel& model) {
  const ModelRole role = parse_role(model.role);
  const auto same = std::count_if(data.models.begin(), data.models.end(), [&](const auto& m) {
    return parse_role(m.role) == role && m.n_kv_heads == model.n_kv_heads;
  });
  const bool named = same > 1 || role == ModelRole::kModel;
  const ModelRole shown = role_in(data, model);
  return {.text = role_label(shown), .note = named ? model.name : "", .role = shown};
}

void add_loss_line(const ReportModel* model, const EvaluatedOn& on, LineChart& chart) {
  const ReportScore* score = model != nullptr ? find_score(*model, on) : nullptr;
  if (score == nullptr || !(*score)[metric::kLoss]) return;
  const double loss = (*score)[metric::kLoss]->value;
  const ModelRole role = parse_role(model->role);
  chart.references.push_back(
      {loss, fmt::format("{} {}", role_label(role), short_number(loss)), role_colour(role)});
}

std::string model_label(const ReportData& data, const ReportModel& model) {
  const Cell cell = model_cell(data, model);
  if (cell.role == ModelRole::kModel) return shorten_name(model.name);
  const std::string part =
      cell.note.empty() ? cell.text : fmt::format("{} {}", cell.text, shorten_name(cell.note));
  if (cell.role == ModelRole::kBaseline) return part;
  return fmt::format("{}, {}", part, heads_text(model.n_kv_heads));
}

std::string model_label(const ReportData& data, const std::string& name) {
  const auto found = std::find_if(data.models.begin(), data.models.end(),
                                  [&](const ReportModel& model) { return model.name == name; });
  return found == data.models.end() ? shorten_name(name) : model_label(data, *found);
}

void RoleStyles::apply(ModelRole role, ChartSeries& series) {
  constexpr Marker kMarkers[] = {Marker::kCircle, Marker::kTriangle, Marker::kSquare,
                                 Marker::kDiamond};
  const auto before = static_cast<size_t>(std::count(seen_.begin(), seen_.end(), role));
  seen_.push_back(role);
  // A converted model's first marker is the triangle that tables give it.
  series.marker = kMarkers[(before + (role == ModelRole::kConverted ? 1 : 0)) % 4];
  series.colour = role_colour(role);
  series.dashed = role == ModelRole::kConverted;
}

}  // namespace regroup
