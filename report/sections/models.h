#pragma once

#include <string>
#include <vector>

#include "regroup/report/report.h"
#include "report_document.h"

namespace regroup {

// How a model stands in tables and charts.

/// A model's label; its folder too where the label fits several models.
Cell model_cell(const ReportData& data, const ReportModel& model);

/// "converted, 4 KV heads", with the folder where that fits several; "before"; the folder of a model without a part.
std::string model_label(const ReportData& data, const ReportModel& model);
/// The same by the name in a result file; a model that no evaluation knows keeps that name.
std::string model_label(const ReportData& data, const std::string& name);

/// One look for each model of a chart: the role's colour, and a marker for each model of that role.
class RoleStyles {
 public:
  /// The look of the next model.
  void apply(ModelRole role, ChartSeries& series);

 private:
  std::vector<ModelRole> seen_;
};

/// A reference line at the loss of `model` on a text; none when it is not known.
void add_loss_line(const ReportModel* model, const EvaluatedOn& on, LineChart& chart);

}  // namespace regroup
