#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "recipe_flags.h"
#include "regroup/base/launch.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/config.h"

namespace regroup {

/// Flags that every command has.
struct Globals {
  std::string recipe;
  bool json = false;
  bool quiet = false;
  std::string device = "auto";
  int threads = 0;  ///< 0: usable_threads()
  uint64_t seed = 0;
  std::string log_level = "info";
  bool allow_pickle = false;
  Launch launch = {};  ///< of a command that several processes carry out together
};

/// What a command has to say: one object for machines, the same as text for people.
struct CommandOutput {
  Json json;
  std::string text;
  int exit_code = 0;
  bool printed = false;  ///< by a process that this one has started
};

/// A parsed command line, ready to be carried out.
struct Invocation {
  std::shared_ptr<Globals> globals = std::make_shared<Globals>();
  std::function<CommandOutput()> action;
  /// Refuses wrong values without doing the work: `run` calls it before earlier stages have made the
  /// inputs. Empty for commands that `run` does not call.
  std::function<void()> check;
  /// The processes that carry it out together, and how many seconds they wait for each other.
  int processes = 1;
  std::chrono::seconds process_timeout{0};
  std::string command;       ///< its name
  RecipeValues from_recipe;  ///< flags of the command that the recipe set
  std::string text;          ///< instead of an action: the help or the version
};

/// The flags of the program and every command with its own.
void add_all_commands(CLI::App& root, Invocation& invocation);

/// Parses a command line (without the program's name), with the recipe it may name.
/// @throws ConfigError for anything a user got wrong
Invocation parse_command_line(std::vector<std::string> arguments);

/// Applies --threads and --log-level. Done once per process.
void apply_globals(const Globals& globals);

/// add_NAME_command() of every command. A command is one file, named in COMMANDS of CMakeLists.txt in the order of --help.
#define REGROUP_ENTRY(name) void add_##name##_command(CLI::App& root, Invocation& invocation);
#include "regroup/commands.inc"
#undef REGROUP_ENTRY

/// Adds `name` with its description and a callback that sets the invocation's action to `run`,
/// called with the options struct that the flags fill, and its check to `check` if there is one.
template <typename Options>
std::pair<CLI::App*, std::shared_ptr<Options>> add_command(
    CLI::App& root, Invocation& invocation, const std::string& name, const std::string& description,
    CommandOutput (*run)(const Options&, const Globals&),
    void (*check)(const Options&, const Globals&) = nullptr) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand(name, description);
  command->fallthrough();
  command->callback([&invocation, options, run, check] {
    invocation.action = [options, run, globals = invocation.globals] {
      return run(*options, *globals);
    };
    if (check == nullptr) return;
    invocation.check = [options, check, globals = invocation.globals] {
      check(*options, *globals);
    };
  });
  return {command, options};
}

/// --model and --out as positional arguments that a recipe can set too.
CLI::Option* add_model(CLI::App& command, std::string& model);
CLI::Option* add_out(CLI::App& command, std::string& out, const std::string& what);

/// --seq-len of commands that evaluate: tokens a window predicts. Warns beyond the model's context.
int64_t eval_seq_len(const std::string& flag, const ModelConfig& config);

}  // namespace regroup
