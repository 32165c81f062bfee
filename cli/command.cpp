#include "command.h"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "flag_names.h"
#include "flag_values.h"
#include "help.h"
#include "parse_error.h"
#include "recipe.h"
#include "regroup/base/error.h"
#include "regroup/base/notice.h"
#include "regroup/base/quantity.h"
#include "regroup/checkpoint/compute_names.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/version.h"
#include "torch_part.h"

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
  root.add_option("--device", globals.device, "Where to compute")
      ->type_name(words({"auto", "cpu", "cuda", "cuda:N"}))
      ->capture_default_str();
  root.add_option("--threads", globals.threads, "CPU threads; 0: as many as it may use")
      ->capture_default_str()
      ->check(whole_number(0, 4096));
  root.add_flag(
      "--allow-pickle", globals.allow_pickle,
      "Read pytorch_model*.bin where a model has no safetensors; nothing of the pickle is run");
  root.add_option("--seed", globals.seed, "Seed of everything random")
      ->capture_default_str()
      ->check(seed_number());
  root.add_option("--log-level", globals.log_level, "How much to log on stderr")
      ->capture_default_str()
      ->check(one_of({"error", "warn", "info", "debug"}));
}

/// `help` and `help COMMAND` stand for the flag --help.
std::vector<std::string> with_help_as_flag(const CLI::App& root,
                                           const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front() != "help") return arguments;
  if (arguments.size() == 1) return {"--help"};
  const std::vector<std::string> known = command_names(root);
  const std::string& command = arguments[1];
  if (std::find(known.begin(), known.end(), command) == known.end()) refuse_command(root, command);
  return {command, "--help"};
}

/// The recipe that `run` is to carry out; "" for another command.
std::string recipe_of_run(const CLI::App& root) {
  const CLI::App* run = root.get_subcommand("run");
  const CLI::Option* file = run->get_option("RECIPE");
  return run->parsed() && file->count() > 0 ? file->as<std::string>() : "";
}

[[noreturn]] void refuse_missing_recipe(const CLI::App& root) {
  throw ConfigError({.code = "RECIPE_MISSING",
                     .message = "must be a recipe (TOML), but cannot be read",
                     .path = root.get_option("--recipe")->results().back(),
                     .hint = "check the spelling of --recipe"});
}

/// `run RECIPE` takes its own settings, and those of every command, from the recipe as well.
Invocation parse_with_recipe(const std::string& recipe, std::vector<std::string> arguments) {
  read_recipe(recipe);  // explains a file that is no recipe better than the parser of flags
  arguments.insert(arguments.begin(), {"--recipe", recipe});
  return parse_command_line(std::move(arguments));
}

/// The text of a line in the log.
class FlagNames : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& line) override {
    const std::string text = with_flags({message.payload.data(), message.payload.size()});
    line.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<FlagNames>();
  }
};

}  // namespace

CLI::Option* add_model(CLI::App& command, std::string& model) {
  return command
      .add_option("MODEL,--model", model, "Model folder: config.json and safetensors files")
      ->type_name(kFolder);
}

CLI::Option* add_out(CLI::App& command, std::string& out, const std::string& what) {
  return command.add_option("OUT,--out", out, what)->type_name(kFolder);
}

void add_all_commands(CLI::App& root, Invocation& invocation) {
  root.name("regroup");
  root.description(kDescription);
  root.formatter(std::make_shared<HelpFormatter>());  // commands inherit it
  root.require_subcommand(1);
  root.set_config("--recipe", "", "TOML file with one section per command; flags override it")
      ->type_name(kFile);
  root.config_formatter(std::make_shared<RecipeFlags>(root, invocation.from_recipe));
  add_globals(root, *invocation.globals);
#define REGROUP_ENTRY(name) add_##name##_command(root, invocation);
#include "regroup/commands.inc"
#undef REGROUP_ENTRY
}

Invocation parse_command_line(std::vector<std::string> arguments) {
  const std::vector<std::string> given = arguments;
  Invocation invocation;
  CLI::App root;
  add_all_commands(root, invocation);
  arguments = with_help_as_flag(root, arguments);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    root.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = root.get_subcommands();
    invocation.text = chosen.empty() ? root.help() : chosen.front()->help(root.get_name());
  } catch (const CLI::CallForVersion& version) {
    invocation.text = std::string(version.what()) + "\n";
  } catch (const CLI::FileError&) {
    refuse_missing_recipe(root);
  } catch (const CLI::ParseError& error) {
    refuse_arguments(root, error);
  } catch (const ConfigError& error) {  // a wrong word or quantity
    ErrorInfo info = error.info();
    if (info.hint.empty()) info.hint = see_help(root);
    throw ConfigError(info);
  }
  if (!root.get_subcommands().empty()) {
    invocation.command = root.get_subcommands().front()->get_name();
  }
  if (const CLI::Option* recipe = root.get_option("--recipe"); recipe->count() > 0) {
    invocation.globals->recipe = recipe->as<std::string>();
  } else if (const std::string file = recipe_of_run(root); !file.empty()) {
    return parse_with_recipe(file, given);
  }
  return invocation;
}

void apply_globals(const Globals& globals) {
  require_device_name(globals.device);  // also by commands, and dry runs, that never open it
  // Not registered by name: with LibTorch the same command line comes here twice in one process.
  auto logger = std::make_shared<spdlog::logger>(
      "regroup", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<FlagNames>('*').set_pattern("%^%l%$: %*");
  logger->set_formatter(std::move(formatter));
  logger->set_level(globals.quiet ? spdlog::level::err
                                  : spdlog::level::from_str(globals.log_level));
  spdlog::set_default_logger(std::move(logger));
  set_notice_handler([](const std::string& text) { spdlog::warn("{}", text); });
  allow_pickled_weights(globals.allow_pickle);
  prepare_torch(globals);
}

int64_t eval_seq_len(const std::string& flag, const ModelConfig& config) {
  if (flag.empty()) return std::min<int64_t>(longest_context(config), 2048);
  const int64_t seq_len = parse_context(flag, "--seq-len");
  if (const int64_t longest = longest_context(config); seq_len > longest) {
    spdlog::warn("--seq-len {} exceeds the model's longest context, {}", seq_len, longest);
  }
  return seq_len;
}

}  // namespace regroup
