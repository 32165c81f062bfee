#include <fmt/format.h>

#include "compose.h"
#include "report_document.h"
#include "writers/escape.h"

namespace regroup {
namespace {

std::string table_markdown(const Table& table) {
  std::string text;
  if (!table.caption.empty()) text = "**" + escape_markdown(table.caption) + "**\n\n";
  std::string rule;
  for (const Column& column : table.columns) {
    text += "| " + escape_markdown(column.title) + " ";
    rule += column.kind == ColumnKind::kNumber ? "|---:" : "|---";
  }
  text += "|\n" + rule + "|\n";
  for (const auto& row : table.rows) {
    for (const Cell& cell : row) {
      text += "| " + escape_markdown(cell.text) + " ";
      const bool error = cell.note.starts_with("±");
      if (error) text += escape_markdown(cell.note) + " ";
      if (!error && !cell.note.empty()) text += "(" + escape_markdown(cell.note) + ") ";
    }
    text += "|\n";
  }
  return text + "\n";
}

/// Markdown shows no inline SVG: the numbers stand for the chart.
struct NumbersOf {
  std::string operator()(const LineChart& chart) const {
    std::string text;
    for (const ReferenceLine& line : chart.references) {
      text += "- " + escape_markdown(line.label) + "\n";
    }
    return text.empty() ? "" : text + "\n";
  }
  std::string operator()(const BarChart& chart) const {
    Table table{
        .caption = "", .columns = {{chart.title}, {"Bytes", ColumnKind::kNumber}}, .rows = {}};
    for (const Bar& bar : chart.bars) table.rows.push_back({{bar.label}, {bar.value}});
    return table_markdown(table);
  }
  std::string operator()(const HeatMap&) const { return ""; }  // its figure has the numbers
  std::string operator()(const HeatPanels&) const { return ""; }
  std::string operator()(const IntervalChart&) const { return ""; }
};

struct BlockMarkdown {
  std::string operator()(const Paragraph& p) const { return escape_markdown(p.text) + "\n\n"; }
  std::string operator()(const Table& table) const { return table_markdown(table); }
  std::string operator()(const Figure& figure) const {
    if (figure.repeats_table) return "";
    std::string text = escape_markdown(figure.caption) + "\n\n";
    text += std::visit(NumbersOf{}, figure.chart);
    if (!figure.numbers.rows.empty()) text += table_markdown(figure.numbers);
    return text;
  }
  std::string operator()(const CodeBlock& code) const {
    return "**" + escape_markdown(code.caption) + "**\n\n" + markdown_code_block(code.text) + "\n";
  }
  std::string operator()(const SampleBlock& sample) const {
    std::string text = "Prompt:\n\n" + markdown_code_block(sample.prompt) + "\n";
    for (const SampleBlock::Text& one : sample.texts) {
      text += "**" + escape_markdown(one.label) + "**\n\n" + markdown_code_block(one.text) + "\n";
    }
    return text;
  }
};

}  // namespace

std::string report_markdown(const ReportData& data) {
  const ReportDocument document = compose_report(data);
  std::string text = "# " + escape_markdown(document.title) + "\n\n";
  if (!document.subtitle.empty()) text += escape_markdown(document.subtitle) + "\n\n";
  const bool titled = document.findings.size() > 1;
  for (const Finding& finding : document.findings) {
    const std::string title = titled ? "**" + escape_markdown(finding.title) + ".** " : "";
    text += "> " + title + escape_markdown(finding.verdict) + "\n\n";
  }
  for (const Section& section : document.sections) {
    text += "## " + escape_markdown(section.title) + "\n\n";
    for (const Block& block : section.blocks) text += std::visit(BlockMarkdown{}, block);
  }
  return text + escape_markdown(document.footer) + "\n";
}

}  // namespace regroup
