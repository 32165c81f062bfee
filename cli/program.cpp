#include "program.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <new>

#include "command.h"
#include "flag_names.h"
#include "processes.h"
#include "regroup/base/child_processes.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "torch_part.h"

namespace regroup {
namespace {

/// True if the user asked for JSON, even on a command line that does not parse.
bool wants_json(const std::vector<std::string>& arguments) {
  return std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
}

Json error_object(const Error& error) {
  const ErrorInfo& info = error.info();
  Json object = {{"code", info.code},
                 {"exit", static_cast<int>(error.exit_code())},
                 {"message", with_flags(info.message)}};
  if (!info.path.empty()) object["path"] = info.path;
  if (!info.tensor.empty()) object["tensor"] = info.tensor;
  if (!info.hint.empty()) object["hint"] = with_flags(info.hint);
  return {{"error", object}};
}

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

int report(const Error& error, bool json) {
  const ErrorInfo& info = error.info();
  if (info.code != "PROCESS_LOST") report_failure(info.code);
  std::fprintf(stderr, "error[%s] %s\n", info.code.c_str(), with_flags(error.what()).c_str());
  if (!info.hint.empty()) std::fprintf(stderr, "hint: %s\n", with_flags(info.hint).c_str());
  if (json) std::fputs(dump(error_object(error)).c_str(), stdout);
  return static_cast<int>(error.exit_code());
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "error[IO_WRITE_ERROR] the result could not be written to stdout\n");
    return static_cast<int>(ExitCode::kOutput);
  }
  return 0;
}

/// Commands that LibTorch carries out from their first step on.
bool takes_torch(const std::string& command) {
  constexpr std::array kNames = {"compare", "uptrain", "eval", "generate", "run"};
  return std::find(kNames.begin(), kNames.end(), command) != kNames.end();
}

/// Whatever is wrong with a flag, its command's help is a place to look.
CommandOutput carry_out(const Invocation& invocation, const std::vector<std::string>& arguments) {
  try {
    const Launch launch = invocation.globals->launch = launch_of(invocation);
    if (launch.rank > 0) keep_silent(*invocation.globals);
    apply_globals(*invocation.globals);
    if (launch.size == 1 && invocation.processes > 1) {
      invocation.check();
      return run_in_processes(invocation, arguments);
    }
    if (takes_torch(invocation.command) && !has_torch()) {
      if (invocation.check) invocation.check();  // a wrong value need not wait for LibTorch
      require_torch(invocation.command);
    }
    return invocation.action();
  } catch (const StoppedError& stop) {
    // The first process has said it for all.
    if (invocation.globals->launch.rank == 0 || stop.info().code != "STOPPED") throw;
    return {
        .json = {}, .text = {}, .exit_code = static_cast<int>(stop.exit_code()), .printed = true};
  } catch (const ConfigError& error) {
    ErrorInfo info = error.info();
    info.message = with_flags(info.message);
    info = with_recipe_place(info, invocation.from_recipe, invocation.globals->recipe);
    if (info.hint.empty()) info.hint = fmt::format("see regroup {} --help", invocation.command);
    throw ConfigError(info);
  }
}

int run(const std::vector<std::string>& arguments) {
  const Invocation invocation = parse_command_line(arguments);
  if (!invocation.action) return print(invocation.text);
  const CommandOutput output = carry_out(invocation, arguments);
  if (output.printed) return output.exit_code;
  const int printed = print(invocation.globals->json ? dump(output.json) : output.text);
  return printed != 0 ? printed : output.exit_code;
}

}  // namespace

int report_error(const Error& error, const std::vector<std::string>& arguments) {
  return report(error, wants_json(arguments));
}

int run_program(const std::vector<std::string>& arguments) {
  const bool json = wants_json(arguments);
  try {
    return run(arguments);
  } catch (const Error& error) {
    return report(error, json);
  } catch (const std::bad_alloc&) {
    return report(ConfigError({.code = "NO_MEMORY",
                               .message = "needs more memory than this machine has left",
                               .hint = "use a smaller batch or sequence, or a larger machine"}),
                  json);
  } catch (const std::exception& error) {
    if (const auto known = explain_torch_error(error)) return report(*known, json);
    return report(
        Error(ExitCode::kBug, {.code = "BUG",
                               .message = fmt::format("internal error, please report it: {}",
                                                      printable(error.what(), 2000))}),
        json);
  }
}

}  // namespace regroup
