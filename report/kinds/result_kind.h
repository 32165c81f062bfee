#pragma once

#include <span>
#include <string>
#include <string_view>

#include "regroup/base/strict_json.h"
#include "regroup/report/report.h"

namespace regroup {

/// A kind of result: how its files are told from others and read, and how the JSON and the long table of a report show it. A
/// kind is one file of kinds/, named in REPORT_KINDS of CMakeLists.txt. Members that a kind has no use for are null.
struct ResultKind {
  const char* name;              ///< what the report calls its files
  const char* format = nullptr;  ///< the tag of its files; those without one: kinds/untagged.h
  void (*add)(const Json& file, const std::string& path, ReportData& data) = nullptr;
  /// Of a file with an object in each line, which its first line tags.
  void (*add_lines)(std::string_view lines, const std::string& path, ReportData& data) = nullptr;
  const char* key = nullptr;  ///< in the JSON of a report
  Json (*json)(const ReportData& data) = nullptr;
  std::string (*csv)(const ReportData& data) = nullptr;
};

namespace kinds {
#define REGROUP_ENTRY(name) extern const ResultKind name;
#include "regroup/report_kinds.inc"
#undef REGROUP_ENTRY
}  // namespace kinds

/// All of them, in the order of REPORT_KINDS.
std::span<const ResultKind* const> result_kinds();

}  // namespace regroup
