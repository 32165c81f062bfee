#pragma once

#include <string>
#include <vector>

#include "command.h"
#include "recipe.h"

namespace regroup {

struct RunFlags {
  std::string recipe;
  std::string out;
  std::vector<std::string> prompts;
  int64_t sample_tokens = 80;
  bool control = false;
};

/// One command of the pipeline.
struct Stage {
  std::string name;                    ///< "g4/convert"
  std::vector<std::string> arguments;  ///< the command line, recipe and global flags left out
  std::vector<std::string> inputs;     ///< files and folders whose content decides the result
  std::string output;                  ///< exists when the stage is done
  std::string result;                  ///< where its JSON goes, or ""
  bool replaces = false;  ///< an earlier result of other inputs is dropped with --overwrite
};

/// What a recipe asks for: the stages, where their results go and what decides them.
class RunStages {
 public:
  RunStages(const RunFlags& flags, const Globals& globals);

  /// Refuses what a stage would refuse later on: a wrong value must not cost the hours of the stages
  /// before it.
  void check() const;
  std::vector<Stage> stages() const;
  /// What decides a stage's result: its command line, its section of the recipe and its inputs.
  std::string fingerprint(const Stage& stage) const;
  std::vector<std::string> command_line(const Stage& stage,
                                        const std::vector<std::string>& replacing = {}) const;

  bool evaluates() const { return recipe_.has_section("eval"); }
  const std::string& out() const { return out_; }
  const std::vector<std::string>& kv_heads() const { return kv_heads_; }
  std::string folder(const std::string& g) const;
  /// Where runs of uptrain lie: of every number of KV heads, and of the control.
  std::vector<std::string> uptrainings() const;
  std::string result(const std::string& name) const;

 private:
  /// An error of a stage's flag, with the section and, where the recipe gave its value, the place.
  ErrorInfo in_recipe(ErrorInfo error, const Stage& stage, const RecipeValues& values) const;
  std::vector<std::string> required(const std::string& key, const std::string& what) const;
  bool reads_text() const;
  void check_control_objective() const;
  void check_bench_heads() const;
  std::string teacher_path() const;
  Stage convert_stage(const std::string& g) const;
  /// @param name   of the results: "g4"
  /// @param start  the model that is trained
  Stage uptrain_stage(const std::string& name, const std::string& start) const;
  Stage eval_stage(const std::string& name, const std::vector<std::string>& models,
                   const std::string& file) const;

  const RunFlags& flags_;
  const Globals& globals_;
  Recipe recipe_;
  std::string out_;
  std::string model_;
  std::vector<std::string> kv_heads_;
};

}  // namespace regroup
