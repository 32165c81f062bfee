// Where the numbers come from: models, conversions, runs, files.
#include <fmt/format.h>

#include "compose.h"
#include "regroup/base/human_number.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"

namespace regroup {
namespace {

/// As a shell would take it.
std::string quoted(const std::string& argument) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (!argument.empty() && argument.find_first_not_of(kPlain) == std::string::npos) return argument;
  std::string text = "'";
  for (const char c : argument) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string duration(const std::optional<double>& seconds) {
  if (!seconds) return kNothing;
  return *seconds < 10 ? fmt::format("{:.1f} s", *seconds) : human_seconds(*seconds);
}

std::string command_line(const std::vector<std::string>& arguments) {
  std::string line = arguments.empty() || arguments[0] != "regroup" ? "regroup" : "";
  for (const std::string& argument : arguments) {
    if (!line.empty()) line += ' ';
    line += quoted(argument);
  }
  return line;
}

Table models_table(const ReportData& data) {
  Table table{.caption = "Models",
              .columns = {{"Model"},
                          {"KV heads", ColumnKind::kNumber},
                          {"Parameters", ColumnKind::kNumber},
                          {"Computed in"},
                          {"regroup"},
                          {"LibTorch"},
                          {"Folder", ColumnKind::kCode},
                          {"Digest", ColumnKind::kCode}},
              .rows = {}};
  for (const ReportModel& model : data.models) {
    const ModelRole role = role_in(data, model);
    table.rows.push_back({{.text = role_label(role), .note = {}, .role = role},
                          {std::to_string(model.n_kv_heads)},
                          {grouped_digits(model.n_params)},
                          {model.dtype},
                          {model.version},
                          {model.libtorch},
                          {model.name},
                          {model.digest}});
  }
  return table;
}

Table pairs_table(std::string caption, const char* key, const char* value,
                  const NamedTexts& pairs) {
  Table table{.caption = std::move(caption),
              .columns = {{key, ColumnKind::kCode}, {value, ColumnKind::kCode}},
              .rows = {}};
  for (const auto& [name, text] : pairs) table.rows.push_back({{name}, {text}});
  return table;
}

void add_conversion_blocks(const ReportConversion& conversion, Section& section) {
  std::string title = fmt::format("Conversion {} → {} by {}", conversion.before,
                                  heads_text(conversion.after), conversion.method);
  if (!conversion.path.empty()) title += fmt::format(", {}", conversion.path);
  NamedTexts settings = conversion.arguments;
  if (!conversion.model.empty()) settings.insert(settings.begin(), {"model", conversion.model});
  if (!conversion.version.empty()) settings.emplace_back("regroup version", conversion.version);
  if (!settings.empty()) {
    section.blocks.push_back(pairs_table(title, "Setting", "Value", settings));
  }
  if (!conversion.digests.empty()) {
    section.blocks.push_back(pairs_table(settings.empty() ? title : "Files of this conversion",
                                         "File", "SHA-256", conversion.digests));
  }
}

void add_run_blocks(const ReportRun& run, Section& section) {
  Table stages{.caption = fmt::format("Stages of {}, regroup {}", run.path, run.record.version),
               .columns = {{"Stage"},
                           {"State"},
                           {"Time", ColumnKind::kNumber},
                           {"Command", ColumnKind::kCode}},
               .rows = {}};
  Table inputs{.caption = "Inputs of the stages",
               .columns = {{"Stage"}, {"Input", ColumnKind::kCode}, {"Digest", ColumnKind::kCode}},
               .rows = {}};
  for (const RunStage& stage : run.record.stages) {
    stages.rows.push_back(
        {{stage.name}, {stage.state}, {duration(stage.seconds)}, {command_line(stage.arguments)}});
    for (const auto& [name, digest] : stage.inputs) {
      inputs.rows.push_back({{stage.name}, {name}, {digest}});
    }
  }
  if (!stages.rows.empty()) section.blocks.push_back(std::move(stages));
  if (!inputs.rows.empty()) section.blocks.push_back(std::move(inputs));
  if (!run.record.recipe_text.empty()) {
    section.blocks.push_back(CodeBlock{"Recipe " + run.record.recipe_path, run.record.recipe_text});
  }
}

Table runs_table(const ReportData& data) {
  Table table{.caption = "Uptraining runs",
              .columns = {{"KV heads", ColumnKind::kNumber},
                          {"Started from", ColumnKind::kCode},
                          {"Teacher", ColumnKind::kCode},
                          {"Steps", ColumnKind::kNumber},
                          {"Tokens", ColumnKind::kNumber},
                          {"Log", ColumnKind::kCode}},
              .rows = {}};
  for (const ReportUptraining& run : data.uptrainings) {
    table.rows.push_back({{std::to_string(run.n_kv_heads)},
                          {run.model},
                          {run.teacher.empty() ? "none" : run.teacher},
                          {grouped_digits(run.steps)},
                          {grouped_digits(run.tokens)},
                          {run.path}});
  }
  return table;
}

Table sources_table(const ReportData& data) {
  Table table{.caption = "Files this report was made from",
              .columns = {{"What"}, {"File", ColumnKind::kCode}, {"SHA-256", ColumnKind::kCode}},
              .rows = {}};
  for (const ReportSource& source : data.sources) {
    table.rows.push_back({{source.kind}, {source.path}, {source.sha256}});
  }
  return table;
}

}  // namespace

void sections::provenance(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "provenance", .title = "Where this comes from", .blocks = {}};
  if (!data.models.empty()) section.blocks.push_back(models_table(data));
  for (const ReportConversion& conversion : data.conversions) {
    add_conversion_blocks(conversion, section);
  }
  if (!data.uptrainings.empty()) section.blocks.push_back(runs_table(data));
  for (const ReportRun& run : data.runs) add_run_blocks(run, section);
  if (!data.sources.empty()) section.blocks.push_back(sources_table(data));
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup
