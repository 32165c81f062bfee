#include <fmt/format.h>

#include "command.h"
#include "flag_values.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/manifest.h"

namespace regroup {
namespace {

struct VerifyFlags {
  std::string model;
  std::string against;
};

/// The first of `problems`, one a line, and how many more there are: with another model all tensors differ.
std::string shown(std::vector<std::string> problems) {
  constexpr size_t kShown = 10;
  if (const size_t all = problems.size(); all > kShown + 1) {
    problems.resize(kShown);
    problems.push_back(fmt::format("... and {} more", all - kShown));
  }
  return join(problems, "\n  ");
}

CommandOutput run_verify(const VerifyFlags& flags, const Globals&) {
  const VerifyResult result = verify_folder(flags.model, flags.against);
  if (!result.problems.empty()) {
    throw CheckpointError(
        {.code = "VERIFY",
         .message = fmt::format("{} problem{}:\n  {}", result.problems.size(),
                                result.problems.size() == 1 ? "" : "s", shown(result.problems)),
         .path = flags.model,
         .hint = result.other_parent ? "give --against the model that this one was made from"
                                     : "make or fetch the folder again"});
  }
  CommandOutput output;
  output.json = {{"model", flags.model},     {"ok", true},
                 {"files", result.files},    {"tensors", result.tensors},
                 {"bytes", result.bytes},    {"manifest", result.has_manifest},
                 {"notices", result.notices}};
  output.text = fmt::format("{}: ok; {} files, {} tensors, {}{}\n", flags.model, result.files,
                            result.tensors, human_bytes(result.bytes),
                            result.has_manifest ? ", digests agree with regroup.json"
                                                : ", no regroup.json: structure only");
  for (const std::string& notice : result.notices) output.text += "note: " + notice + "\n";
  if (!flags.against.empty()) {
    output.json["equal"] = result.equal;
    output.json["changed"] = result.changed;
    output.text += fmt::format("{} tensors equal those of {}, {} differ\n", result.equal,
                               flags.against, result.changed.size());
    for (const std::string& name : result.changed) output.text += "  " + name + "\n";
  }
  return output;
}

}  // namespace

void add_verify_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<VerifyFlags>(
      root, invocation, "verify", "Check a model folder against its manifest and a parent",
      run_verify);
  add_model(*command, flags->model)->required();
  command
      ->add_option("--against", flags->against,
                   "Parent to compare with: what a conversion leaves alone must be equal")
      ->type_name(kFolder);
}

}  // namespace regroup
