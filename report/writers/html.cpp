#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "compose.h"
#include "report_document.h"
#include "report_style.h"
#include "writers/escape.h"

namespace regroup {
namespace {

constexpr const char* kContentSecurityPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

constexpr ChartSize kWide{.width = 960, .height = 360};
constexpr ChartSize kNarrow{.width = 360, .height = 320};

const char* column_class(ColumnKind kind) {
  if (kind == ColumnKind::kNumber) return "n";
  return kind == ColumnKind::kCode ? "k" : "t";
}

std::string role_html(ModelRole role, const std::string& text) {
  return fmt::format("<span class=\"role c{}\">{}</span>", role_colour(role), escape_html(text));
}

std::string cell_html(const Cell& cell, const Column& column) {
  std::string text =
      cell.role == ModelRole::kNone ? escape_html(cell.text) : role_html(cell.role, cell.text);
  if (!cell.note.empty()) {
    text =
        fmt::format("<span>{} <span class=\"note\">{}</span></span>", text, escape_html(cell.note));
  }
  // Tables of many tasks are most of a page's bytes: a cell of text has no class.
  const std::string kind = column.kind == ColumnKind::kText
                               ? ""
                               : fmt::format(" class=\"{}\"", column_class(column.kind));
  return fmt::format("<td{} data-label=\"{}\">{}</td>", kind, escape_html(column.title), text);
}

std::string table_html(const Table& table) {
  std::string html = "<div class=\"table\"><table>";
  if (!table.caption.empty()) html += "<caption>" + escape_html(table.caption) + "</caption>";
  html += "\n<thead><tr>";
  for (const Column& column : table.columns) {
    html += fmt::format("<th scope=\"col\" class=\"{}\">{}</th>", column_class(column.kind),
                        escape_html(column.title));
  }
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) html += cell_html(row[c], table.columns[c]);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

/// Text in a chart must not shrink with the page, so narrow pages show a chart of their own.
struct ChartHtml {
  const ChartSize& size;
  std::string operator()(const LineChart& chart) const { return line_chart_svg(chart, size); }
  std::string operator()(const BarChart& chart) const { return bar_chart_svg(chart, size.width); }
  std::string operator()(const HeatMap& map) const { return heat_map_svg(map, size.width); }
  std::string operator()(const HeatPanels& chart) const {
    return heat_panels_svg(chart, size.width);
  }
  std::string operator()(const IntervalChart& chart) const {
    return interval_chart_svg(chart, size.width);
  }
};

struct BlockHtml {
  std::string operator()(const Paragraph& p) const {
    return "<p class=\"aside\">" + escape_html(p.text) + "</p>\n";
  }
  std::string operator()(const Table& table) const { return table_html(table); }
  std::string operator()(const Figure& figure) const {
    std::string html = "<figure>\n<div class=\"wide\">";
    html += std::visit(ChartHtml{kWide}, figure.chart) + "</div>\n<div class=\"narrow\">";
    html += std::visit(ChartHtml{kNarrow}, figure.chart) + "</div>\n";
    html += "<figcaption>" + escape_html(figure.caption) + "</figcaption>\n";
    if (!figure.numbers.rows.empty()) {
      html += "<details><summary>The numbers</summary>" + table_html(figure.numbers) + "</details>";
    }
    return html + "</figure>\n";
  }
  std::string operator()(const CodeBlock& code) const {
    return fmt::format("<div class=\"code\"><p>{}</p><pre>{}</pre></div>\n",
                       escape_html(code.caption), escape_html(code.text, Lines::kKeep));
  }
  std::string operator()(const SampleBlock& sample) const {
    std::string html = fmt::format("<div class=\"sample\"><p class=\"prompt\">{}</p>\n",
                                   escape_html(sample.prompt, Lines::kKeep));
    html += "<div class=\"texts\">\n";
    for (const SampleBlock::Text& text : sample.texts) {
      html += fmt::format("<div class=\"c{}\">{}<p>{}</p></div>\n", role_colour(text.role),
                          role_html(text.role, text.label), escape_html(text.text, Lines::kKeep));
    }
    return html + "</div></div>\n";
  }
};

/// A unit does not begin a line that its number is not on.
std::string keep_units(std::string text) {
  constexpr auto kUnits = std::to_array<std::string_view>(
      {"%", "k", "M", "B", "T", "KiB", "MiB", "GiB", "TiB", "KV", "±"});
  for (size_t at = text.find(' '); at != std::string::npos; at = text.find(' ', at + 1)) {
    const size_t end = std::min(text.find_first_of(" ,;.)", at + 1), text.size());
    const std::string_view word = std::string_view(text).substr(at + 1, end - at - 1);
    const bool number = at > 0 && (std::isdigit(static_cast<unsigned char>(text[at - 1])) != 0);
    if (!number || std::find(kUnits.begin(), kUnits.end(), word) == kUnits.end()) continue;
    text.replace(at, 1, "\xC2\xA0");
  }
  return text;
}

std::string finding_html(const Finding& finding, bool titled) {
  std::string html = "<article class=\"finding\">";
  if (titled) html += "<h3>" + escape_html(finding.title) + "</h3>";
  html += "<p class=\"verdict\">" + escape_html(keep_units(finding.verdict)) + "</p>\n";
  if (finding.tiles.empty()) return html + "</article>\n";
  html += "<dl class=\"tiles\">";
  for (const Tile& tile : finding.tiles) {
    html += fmt::format("<div><dt>{}</dt><dd class=\"value\">{}</dd>", escape_html(tile.label),
                        escape_html(tile.value));
    if (!tile.note.empty()) html += "<dd class=\"note\">" + escape_html(tile.note) + "</dd>";
    html += "</div>";
  }
  html += "</dl>";
  if (!finding.measured_on.empty()) {
    html += "<p class=\"note\">" + escape_html(finding.measured_on) + "</p>";
  }
  return html + "</article>\n";
}

std::string head_html(const ReportDocument& document) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{} · regroup</title>\n<style>{}</style>\n</head>\n<body>\n",
      kContentSecurityPolicy, escape_html(document.title), kReportStyle);
}

std::string header_html(const ReportDocument& document) {
  std::string html = "<header>\n<p class=\"eyebrow\">regroup report</p>\n";
  html += "<h1>" + escape_html(document.title) + "</h1>\n";
  if (!document.subtitle.empty()) {
    html += "<p class=\"sub\">" + escape_html(document.subtitle) + "</p>\n";
  }
  html += "<nav aria-label=\"Sections\">";
  for (const Section& section : document.sections) {
    html += fmt::format("<a href=\"#{}\">{}</a>", section.id, escape_html(section.title));
  }
  return html + "</nav>\n</header>\n<main>\n";
}

}  // namespace

std::string report_html(const ReportData& data) {
  const ReportDocument document = compose_report(data);
  std::string html = head_html(document) + header_html(document);
  const bool titled = document.findings.size() > 1;
  for (const Finding& finding : document.findings) html += finding_html(finding, titled);
  for (const Section& section : document.sections) {
    html +=
        fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n", section.id, escape_html(section.title));
    for (const Block& block : section.blocks) html += std::visit(BlockHtml{}, block);
    html += "</section>\n";
  }
  html += "</main>\n<footer>" + escape_html(document.footer) + "</footer>\n";
  return html + "</body>\n</html>\n";
}

}  // namespace regroup
