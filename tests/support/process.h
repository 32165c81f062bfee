#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace regroup::testing {

/// Starts `binary` with its output in two files. `arguments` without the program's name.
inline pid_t start_process(const std::string& binary, const std::vector<std::string>& arguments,
                           const std::string& out_path, const std::string& err_path) {
  std::vector<char*> argv = {const_cast<char*>(binary.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const int flags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path.c_str(), flags, 0644);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_path.c_str(), flags, 0644);
  pid_t child = -1;
  if (::posix_spawn(&child, binary.c_str(), &actions, nullptr, argv.data(), environ) != 0) {
    child = -1;
  }
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

struct Finished {
  int exit_code = -1;  ///< -1: it did not start, or a signal ended it
  std::string out;
  std::string err;
};

/// Runs `binary` to its end.
inline Finished run_process(const std::string& binary, const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  const pid_t child = start_process(binary, arguments, folder / "out", folder / "err");
  if (child < 0) return {};
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(folder / "out"),
          read_file(folder / "err")};
}

}  // namespace regroup::testing
