#include "command.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "recipe.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/quantity.h"
#include "regroup/checkpoint/text.h"
#include "regroup/model/runtime.h"
#include "regroup/version.h"

namespace regroup {
namespace {

constexpr const char* kDescription =
    "Converts multi-head-attention checkpoints to grouped-query attention, uptrains them, and "
    "reports "
    "what came back.";

void add_globals(CLI::App& root, Globals& globals) {
  root.set_version_flag("--version", fmt::format("regroup {}", kVersion));
  root.add_flag("--json", globals.json, "Print the result as one JSON object");
  root.add_flag("--quiet", globals.quiet, "No progress, no log below errors");
  root.add_option("--device", globals.device, "Where to compute: auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  root.add_option("--threads", globals.threads, "CPU threads; 0: all cores")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  root.add_option("--seed", globals.seed, "Seed of everything random")->capture_default_str();
  root.add_option("--log-level", globals.log_level, "How much to log on stderr")
      ->capture_default_str()
      ->check(CLI::IsMember({"error", "warn", "info", "debug"}));
}

std::vector<std::string> command_names(const CLI::App& root) {
  std::vector<std::string> names;
  for (const CLI::App* command : root.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

/// Flags of the command in use and of the root, as the user types them.
std::vector<std::string> flag_names(const CLI::App& root) {
  std::vector<std::string> names;
  const auto collect = [&](const CLI::App& app) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  };
  collect(root);
  for (const CLI::App* command : root.get_subcommands()) collect(*command);
  return names;
}

bool looks_like_flag(const std::string& argument) { return argument.starts_with("--"); }

[[noreturn]] void refuse_extras(const CLI::App& root) {
  const std::vector<std::string> extras = root.remaining(/*recurse=*/true);
  const auto first_flag = std::find_if(extras.begin(), extras.end(), looks_like_flag);
  const bool flag = first_flag != extras.end();
  const std::string found = flag ? *first_flag : extras.empty() ? "" : extras.front();
  const bool no_command = root.get_subcommands().empty();
  const std::string bare = found.substr(0, found.find('='));
  const std::string near =
      flag ? nearest(bare, flag_names(root)) : nearest(found, command_names(root));
  throw ConfigError(
      {.code = flag         ? "FLAG_UNKNOWN"
               : no_command ? "COMMAND_UNKNOWN"
                            : "ARGUMENT_UNKNOWN",
       .message = flag         ? fmt::format("unknown flag {}", printable(found))
                  : no_command ? fmt::format("unknown command {}", printable(found))
                               : fmt::format("unexpected argument {}", printable(found)),
       .path = {},
       .tensor = {},
       .hint = near.empty() || (!flag && !no_command) ? "see regroup --help"
                                                      : fmt::format("did you mean {}?", near)});
}

/// "--kv-heads must be a whole number, found x" for the parser's "Could not convert: --kv-heads = x".
std::string explain_value(const CLI::App& root, const std::string& what) {
  const size_t name_at = what.find(": ");
  const size_t value_at = what.find(" = ");
  if (name_at == std::string::npos || value_at == std::string::npos) return what;
  const std::string name = what.substr(name_at + 2, value_at - name_at - 2);
  const CLI::App& command = root.get_subcommands().empty() ? root : *root.get_subcommands().front();
  const CLI::Option* option = command.get_option_no_throw(name);
  if (option == nullptr) option = root.get_option_no_throw(name);
  if (option == nullptr) return what;
  const std::string type = option->get_type_name();
  const std::string wanted = type.starts_with("INT")     ? "a whole number"
                             : type.starts_with("UINT")  ? "a whole number from 0 up"
                             : type.starts_with("FLOAT") ? "a number"
                                                         : "of type " + type;
  const bool list = option->get_expected_max() > 1;
  return fmt::format("{} must be {}{}, found {}", name, wanted,
                     list ? ", or several separated by commas" : "", what.substr(value_at + 3));
}

[[noreturn]] void refuse(const CLI::App& root, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) refuse_extras(root);
  const bool no_command = root.get_subcommands().empty();
  const std::vector<std::string> extras = root.remaining(/*recurse=*/true);
  // A misspelt flag is also a missing one; its own name says more.
  const bool misspelt = std::any_of(extras.begin(), extras.end(), looks_like_flag);
  if (misspelt || (no_command && !extras.empty())) refuse_extras(root);
  std::string message = error.what();
  if (no_command && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    message = fmt::format("name a command: {}", join(command_names(root), ", "));
  } else if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {
    message = explain_value(root, message);
  }
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = printable(message, 400),
                     .path = {},
                     .tensor = {},
                     .hint = no_command ? "see regroup --help"
                                        : fmt::format("see regroup {} --help",
                                                      root.get_subcommands().front()->get_name())});
}

/// The recipe that `run` is to carry out; "" for another command.
std::string recipe_of_run(const CLI::App& root) {
  const CLI::App* run = root.get_subcommand("run");
  const CLI::Option* file = run->get_option("recipe_file");
  return run->parsed() && file->count() > 0 ? file->as<std::string>() : "";
}

/// `run RECIPE` takes its own settings, and those of every command, from the recipe as well.
Invocation parse_with_recipe(const std::string& recipe, std::vector<std::string> arguments) {
  read_recipe(recipe);  // explains a file that is no recipe better than the parser of flags
  arguments.insert(arguments.begin(), {"--recipe", recipe});
  return parse_command_line(std::move(arguments));
}

}  // namespace

CLI::Option* add_model(CLI::App& command, std::string& model) {
  return command.add_option("model,--model", model,
                            "Model folder: config.json and safetensors files");
}

CLI::Option* add_out(CLI::App& command, std::string& out, const std::string& what) {
  return command.add_option("out,--out", out, what);
}

Invocation parse_command_line(std::vector<std::string> arguments) {
  const std::vector<std::string> given = arguments;
  Invocation invocation;
  CLI::App root(kDescription, "regroup");
  root.require_subcommand(1);
  root.allow_config_extras(CLI::config_extras_mode::error);
  root.set_config("--recipe", "", "TOML file with one section per command; flags override it");
  add_globals(root, *invocation.globals);
  add_plan_command(root, invocation);
  add_convert_command(root, invocation);
  add_compare_command(root, invocation);
  add_tokenize_command(root, invocation);
  add_uptrain_command(root, invocation);
  add_eval_command(root, invocation);
  add_generate_command(root, invocation);
  add_report_command(root, invocation);
  add_verify_command(root, invocation);
  add_run_command(root, invocation);
  for (CLI::App* command : root.get_subcommands({})) command->get_formatter()->column_width(36);
  root.get_formatter()->column_width(36);

  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    root.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = root.get_subcommands();
    invocation.text = chosen.empty() ? root.help() : chosen.front()->help();
  } catch (const CLI::CallForVersion& version) {
    invocation.text = std::string(version.what()) + "\n";
  } catch (const CLI::FileError&) {
    refuse_missing_recipe(root);
  } catch (const CLI::ConfigError& error) {
    refuse_recipe(root, error.what());
  } catch (const CLI::ParseError& error) {
    refuse(root, error);
  }
  if (const CLI::Option* recipe = root.get_option("--recipe"); recipe->count() > 0) {
    invocation.globals->recipe = recipe->as<std::string>();
  } else if (const std::string file = recipe_of_run(root); !file.empty()) {
    return parse_with_recipe(file, given);
  }
  return invocation;
}

void apply_globals(const Globals& globals) {
  auto logger = spdlog::stderr_color_mt("regroup");
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(globals.quiet ? spdlog::level::err
                                  : spdlog::level::from_str(globals.log_level));
  spdlog::set_default_logger(std::move(logger));
  set_threads(globals.threads);
}

int64_t eval_seq_len(const std::string& flag, const ModelConfig& config) {
  if (flag.empty()) return std::min<int64_t>(config.max_positions, 2048);
  const int64_t seq_len = parse_context(flag, "--seq-len");
  if (seq_len > config.max_positions) {
    spdlog::warn("--seq-len {} exceeds the model's max_position_embeddings {}", seq_len,
                 config.max_positions);
  }
  return seq_len;
}

}  // namespace regroup
