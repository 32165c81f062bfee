#include "regroup/report/report.h"

#include <fmt/format.h>

#include "command.h"
#include "flag_values.h"
#include "regroup/base/human_number.h"
#include "regroup/base/output_file.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/output_path.h"

namespace regroup {
namespace {

struct ReportFlags {
  std::vector<std::string> results;
  std::string out;
};

CommandOutput run_report(const ReportFlags& flags, const Globals&) {
  check_output_file(flags.out, "--out", flags.results);
  render_report({}, flags.out);  // an unknown extension is refused before anything is read
  const ReportData data = gather_report(flags.results);
  const std::string text = render_report(data, flags.out);
  write_file_atomically(flags.out, text);
  const std::vector<std::string> verdict = report_verdict(data);
  CommandOutput output;
  output.json = {{"out", flags.out},
                 {"bytes", text.size()},
                 {"models", data.models.size()},
                 {"sources", data.sources.size()},
                 {"verdict", verdict}};
  for (const std::string& line : verdict) output.text += printable(line, 2000) + "\n";
  output.text += fmt::format("wrote {} ({})\n", printable(flags.out),
                             human_bytes(static_cast<int64_t>(text.size())));
  return output;
}

}  // namespace

void add_report_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<ReportFlags>(
      root, invocation, "report", "Before and after as one page, from the results of the others",
      run_report);
  command
      ->add_option(
          "RESULTS,--results", flags->results,
          "JSON of eval, plan, replay, sweep, convert or run; metrics.jsonl of uptrain; samples; "
          "files of lm-evaluation-harness")
      ->type_name(kFile)
      ->required();
  command->add_option("--out", flags->out, "File to write: .html, .md, .json or .csv")
      ->type_name(kFile)
      ->required();
}

}  // namespace regroup
