#pragma once

#include <string>
#include <variant>
#include <vector>

#include "charts/svg_chart.h"
#include "regroup/report/report.h"

namespace regroup {

// What HTML and Markdown both show. Texts are plain here; each writer escapes them for its place.

enum class ModelRole { kNone, kBaseline, kConverted, kUptrained, kModel, kControl };
ModelRole parse_role(const std::string& role);
/// "before", "converted", "uptrained", "model", "control".
const char* role_label(ModelRole role);
/// 1 to 5, the same in every chart and table.
int role_colour(ModelRole role);

enum class ColumnKind { kText, kNumber, kCode };
struct Column {
  std::string title;
  ColumnKind kind = ColumnKind::kText;
};
struct Cell {
  std::string text;
  std::string note = {};  ///< smaller, below
  ModelRole role = ModelRole::kNone;
};
struct Table {
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
};

struct Paragraph {
  std::string text;
};
/// A chart, what it shows, and its numbers for those who cannot see it.
struct Figure {
  std::variant<LineChart, BarChart, HeatMap, HeatPanels, IntervalChart> chart;
  std::string caption;
  Table numbers;
  bool repeats_table = false;  ///< a table beside it has the numbers: a text needs no figure
};
struct CodeBlock {
  std::string caption;
  std::string text;
};
struct SampleBlock {
  std::string prompt;
  struct Text {
    std::string label;
    ModelRole role;
    std::string text;
  };
  std::vector<Text> texts;
};
using Block = std::variant<Paragraph, Table, Figure, CodeBlock, SampleBlock>;

struct Section {
  const char* id;
  std::string title;
  std::vector<Block> blocks;
};

struct Tile {
  std::string value;
  std::string label;
  std::string note;
};
/// What came out for one number of KV heads.
struct Finding {
  std::string title;
  std::string verdict;
  std::vector<Tile> tiles;
};

struct ReportDocument {
  std::string title;
  std::string subtitle;
  std::vector<Finding> findings;
  std::vector<Section> sections;
  std::string footer;
};

ReportDocument compose_report(const ReportData& data);
std::vector<Finding> compose_findings(const ReportData& data);
/// What comparable runs needed, a sentence for each number of KV heads.
void add_recovery_findings(const ReportData& data, std::vector<Finding>& findings);

/// A section is one file of sections/, named in REPORT_SECTIONS of CMakeLists.txt in the order of the report. It adds itself
/// to `all` unless it has nothing to show.
namespace sections {
#define REGROUP_ENTRY(name) void name(const ReportData& data, std::vector<Section>& all);
#include "regroup/report_sections.inc"
#undef REGROUP_ENTRY
}  // namespace sections

/// The least damage at every number of KV heads, in one sentence.
std::string damage_summary(const DamageReport& report);

/// A model's label; its folder too where the label fits several models.
Cell model_cell(const ReportData& data, const ReportModel& model);

using Scored = std::vector<std::pair<const ReportModel*, const ReportScore*>>;
/// Who was evaluated on it, in the order of the report.
Scored scored_on(const ReportData& data, const EvaluatedOn& on);

/// A reference line at the loss of `model` on a text; none when it is not known.
void add_loss_line(const ReportModel* model, const EvaluatedOn& on, LineChart& chart);

// Selecting.

const ReportModel* find_baseline(const ReportData& data);
/// The role of a model in a report: an uptrained one with the baseline's KV heads is the control.
ModelRole role_in(const ReportData& data, const std::string& role, int64_t n_kv_heads);
ModelRole role_in(const ReportData& data, const ReportModel& model);
/// The converted model with as many KV heads, which eval's recovery refers to.
const ReportModel* find_converted(const ReportData& data, int64_t n_kv_heads);
/// For an uptrained model, or for a run: the model it was made of; nullptr unless that is certain.
const ReportModel* find_converted(const ReportData& data, const ReportModel& uptrained);
const ReportModel* find_converted(const ReportData& data, const ReportUptraining& run);
/// The run that made the uptrained `model`, nullptr unless that is certain.
const ReportUptraining* find_uptraining(const ReportData& data, const ReportModel& model);
/// What the evaluations were made on, in the order of the files.
std::vector<EvaluatedOn> evaluations(const ReportData& data);
const ReportScore* find_score(const ReportModel& model, const EvaluatedOn& on);
/// True when the converted model's loss differs from the baseline's by at most two standard errors.
/// Without a standard error nothing is known: false.
bool no_measurable_gap(const ReportScore& converted);

// Writing numbers.

inline constexpr const char* kNothing = "–";
/// "1.428 ± 0.018": as many decimals as the standard error has two digits; without one, four digits.
std::string measured_text(const std::optional<Measured>& value, double factor = 1,
                          const char* unit = "");
/// The same as a cell: the standard error, "± 0.018", stands below.
Cell measured_cell(const std::optional<Measured>& value, double factor, const char* unit);
std::string short_number(double value);
/// "half the memory", "a quarter of the memory", "37.5 % of the memory".
std::string memory_share(int64_t part, int64_t whole);
/// 614400 -> "614,400".
std::string grouped_digits(int64_t value);
std::string heads_text(int64_t n_kv_heads);
/// A name, not longer than a sentence bears.
std::string shorten_name(const std::string& name);

}  // namespace regroup
