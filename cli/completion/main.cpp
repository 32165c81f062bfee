// regroup_completions FOLDER: writes the completion scripts of all shells, as their shells look for them.
#include <cstdio>
#include <exception>

#include "command.h"
#include "regroup/base/output_file.h"
#include "shells.h"

int main(int argc, char** argv) {
  using namespace regroup;
  if (argc != 2) {
    std::fputs("usage: regroup_completions FOLDER\n", stderr);
    return 2;
  }
  try {
    CLI::App root;
    Invocation invocation;
    add_all_commands(root, invocation);
    const auto commands = command_shapes(root);
    const std::string folder = argv[1];
    write_file_atomically(folder + "/regroup", bash_completion(commands));
    write_file_atomically(folder + "/_regroup", zsh_completion(commands));
    write_file_atomically(folder + "/regroup.fish", fish_completion(commands));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "regroup_completions: %s\n", error.what());
    return 1;
  }
}
