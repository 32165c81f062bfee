#pragma once

#include <string>
#include <variant>
#include <vector>

#include "charts/svg_chart.h"

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
  std::string measured_on = {};  ///< what the tiles' numbers are of
};

struct ReportDocument {
  std::string title;
  std::string subtitle;
  std::vector<Finding> findings;
  std::vector<Section> sections;
  std::string footer;
};

}  // namespace regroup
