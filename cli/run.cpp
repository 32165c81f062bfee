#include "regroup/results/run.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "command.h"
#include "flag_values.h"
#include "processes.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/file_descriptor.h"
#include "regroup/base/folder.h"
#include "regroup/base/human_number.h"
#include "regroup/base/input_file.h"
#include "regroup/base/notice.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/config.h"
#include "regroup/version.h"
#include "run_pipeline.h"
#include "run_report.h"
#include "run_stages.h"

namespace regroup {
namespace {

/// Carries out what a recipe asks for, and keeps in OUT/run.json what is done.
class Pipeline {
 public:
  Pipeline(const RunFlags& flags, const Globals& globals)
      : flags_(flags), globals_(globals), stages_(flags, globals) {}

  CommandOutput run() {
    const Stopwatch watch;
    stages_.check();
    std::error_code error;
    std::filesystem::create_directories(out() + "/results", error);
    if (error) throw_output_error(error.value(), "create", out());
    for (const std::string& g : stages_.kv_heads()) make_folder(stages_.folder(g));
    if (flags_.control) make_folder(out() + "/control");
    const FileDescriptor lock = lock_folder(out());
    load_journal();
    bool measures = false;  // the last stage, without which the report has its other sections
    try {
      for (const Stage& stage : stages_.stages()) {
        throw_if_stopped(/*resumable=*/true);
        measures = stage.name == "bench";
        carry_out(stage);
      }
      if (stages_.evaluates()) make_run_report(stages_, flags_, globals_);
    } catch (const Error& stop) {
      if (measures && stages_.evaluates() && stop.info().code != "INTERRUPTED") report_anyway();
      // A stage that had nothing to keep yet: those before it are kept.
      if (stop.info().code == "INTERRUPTED") throw_if_stopped(/*resumable=*/true);
      throw;
    }
    return output(watch.seconds());
  }

 private:
  const std::string& out() const { return stages_.out(); }

  /// What is measured, when the last stage failed; its error is the one that is shown.
  void report_anyway() const {
    try {
      make_run_report(stages_, flags_, globals_);
    } catch (const Error& error) {
      notice("the report was not made: " + error.info().message);
    }
  }

  CommandOutput output(double seconds) const {
    CommandOutput output;
    output.json = {{"out", out()},
                   {"stages_run", n_run_},
                   {"stages_skipped", n_skipped_},
                   {"seconds", seconds}};
    output.text = fmt::format("{} stages run, {} were done before; {}\n", n_run_, n_skipped_,
                              human_seconds(seconds));
    if (stages_.evaluates()) {
      output.json["report"] = out() + "/report.html";
      output.text += run_summary(stages_) + fmt::format("\n{}/report.html\n", out());
    }
    return output;
  }

  void carry_out(const Stage& stage) {
    const std::string key = stages_.fingerprint(stage);
    RunStage& record = record_of(stage.name);
    const bool known = record.fingerprint == key;
    if (known && record.state == "done" && path_exists(stage.output)) {
      spdlog::info("{}: done before, inputs unchanged", stage.name);
      ++n_skipped_;
      return;
    }
    spdlog::info("{}: regroup {}", stage.name, join(stage.arguments, " "));
    std::vector<std::string> replacing;
    if (!record.fingerprint.empty() && !known) {
      replacing = {"--overwrite", "--resume", "never"};
    } else if (known) {
      // It may have been killed between its output and "done", or before it dropped what others had made.
      replacing = {"--overwrite"};
    }
    record.arguments = stage.arguments;
    record.fingerprint = key;
    record.state = "started";
    save_journal();
    const Stopwatch watch;
    const std::vector<std::string> line = stages_.command_line(stage, replacing);
    const Invocation invocation = parse_command_line(line);
    const CommandOutput output =
        invocation.processes > 1 ? stage_in_processes(invocation, line, stage.result + ".processes")
                                 : invocation.action();
    if (!stage.result.empty()) write_file_atomically(stage.result, output.json.dump(2) + "\n");
    record.state = "done";
    record.seconds = watch.seconds();
    save_journal();
    ++n_run_;
    std::string text = output.text;
    if (!globals_.quiet)
      spdlog::info("{}: {}\n{}", stage.name, human_seconds(watch.seconds()), text);
  }

  /// The journal's entry of a stage, made when it is new.
  RunStage& record_of(const std::string& name) {
    for (RunStage& stage : journal_.stages) {
      if (stage.name == name) return stage;
    }
    return journal_.stages.emplace_back(RunStage{.name = name, .state = {}});
  }

  void load_journal() {
    const std::string path = out() + "/run.json";
    if (path_exists(path)) {
      const Json json = read_strict_json(path, kManifestJson);
      // Anything else than a run's is written anew.
      const bool is_run = json.is_object() && json.contains("stages") && json["stages"].is_array();
      if (is_run) journal_ = read_run_record(json, path);
    }
    journal_.version = kVersion;
    journal_.recipe_path = flags_.recipe;
    journal_.recipe_text = InputFile(flags_.recipe).read_all();
  }

  void save_journal() const {
    write_file_atomically(out() + "/run.json", run_record_json(journal_).dump(2) + "\n");
  }

  const RunFlags& flags_;
  const Globals& globals_;
  RunStages stages_;
  RunRecord journal_;
  int64_t n_run_ = 0;
  int64_t n_skipped_ = 0;
};

void check_pipeline(const RunFlags& flags, const Globals& globals) {
  RunStages(flags, globals).check();
}

}  // namespace

CommandOutput run_recipe(const RunFlags& flags, const Globals& globals) {
  return Pipeline(flags, globals).run();
}

void add_run_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<RunFlags>(
      root, invocation, "run", "Carry out a recipe: convert, eval, uptrain, eval, bench, report",
      run_recipe, check_pipeline);
  command->add_option("RECIPE", flags->recipe, "Recipe (TOML); paths in it are relative to here")
      ->type_name(kFile)
      ->required();
  command->add_option("--out", flags->out, "Folder of the run; left out: runs/NAME of the recipe")
      ->type_name(kFolder);
  command->add_option("--prompts", flags->prompts,
                      "Texts that every model continues in the report");
  command->add_flag("--control", flags->control,
                    "Uptrain the parent too, as a converted model: what the tokens alone bring");
  command->add_option("--sample-tokens", flags->sample_tokens, "Length of the continuations")
      ->capture_default_str()
      ->check(whole_number(1, 4096));
}

}  // namespace regroup
