#pragma once

#include <string>
#include <vector>

#include "regroup/report/report.h"
#include "report_document.h"

namespace regroup {

// Results become a document.

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

}  // namespace regroup
