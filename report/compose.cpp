#include "compose.h"

#include <fmt/format.h>

#include "recovery.h"
#include "regroup/version.h"

namespace regroup {

ReportDocument compose_report(const ReportData& data) {
  ReportDocument document;
  document.findings = compose_findings(data);
  document.title = data.models.empty() || document.findings.size() != 1
                       ? "From multi-head to grouped-query attention"
                       : document.findings[0].title;
  if (!data.models.empty()) {
    const ReportModel& first = data.models.front();
    document.subtitle = fmt::format("{}, {} layers, {} query heads", first.architecture,
                                    first.n_layers, first.n_heads);
  }
#define REGROUP_ENTRY(name) sections::name(data, document.sections);
#include "regroup/report_sections.inc"
#undef REGROUP_ENTRY
  const bool read_off = !find_recoveries(data).empty();
  document.footer = fmt::format(
      "Made by regroup {} from {} file{}. Every number is one that a result file holds{}{}.",
      kVersion, data.sources.size(), data.sources.size() == 1 ? "" : "s",
      read_off ? ", or is read off a curve of one" : "",
      data.answers.empty() ? "" : ", or counts answers of one");
  return document;
}

}  // namespace regroup
