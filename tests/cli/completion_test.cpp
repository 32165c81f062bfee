// Completion of bash, zsh and fish: nothing that --help has is missing, and what bash answers to TAB.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>

#include "support/expect_error.h"
#include "support/process.h"

namespace regroup::testing {
namespace {

using Words = std::vector<std::string>;

const std::string kScripts = REGROUP_COMPLETIONS;

std::string help_of(const Words& command) {
  Words arguments = command;
  arguments.emplace_back("--help");
  return run_process(REGROUP_BINARY, arguments).out;
}

/// What `expression` captures on the lines of `text`.
std::set<std::string> found_in(const std::string& text, const std::string& expression) {
  const std::regex regex(expression);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

std::set<std::string> commands() {
  const std::string help = help_of({});
  return found_in(help.substr(help.find("Subcommands:")), "\n  ([a-z]+) ");
}

std::set<std::string> flags_of(const Words& command) {
  return found_in(help_of(command), "\n +(?:-[a-z],)?(--[a-z-]+)");
}

/// The part of `text` from `begin` to the next `end`.
std::string part(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t at = text.find(begin);
  return at == std::string::npos ? "" : text.substr(at, text.find(end, at) - at);
}

/// Whether TAB is there is the script's own business; words before the last are as the user typed them.
Words tab(const Words& typed) {
  std::string words;
  for (const std::string& word : typed) words += " '" + word + "'";
  const Finished run = run_process(
      "/bin/bash", {"-c", fmt::format(". '{}/regroup'; COMP_WORDS=({}); COMP_CWORD={}; _regroup; "
                                      "printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                                      kScripts, words, typed.size() - 1)});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.err, "");
  Words lines;
  for (size_t at = 0; at < run.out.size();) {
    const size_t end = run.out.find('\n', at);
    if (end > at) lines.push_back(run.out.substr(at, end - at));
    at = end + 1;
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST(Completion, HasEveryFlagOfEveryCommand) {
  const std::string bash = read_file(kScripts + "/regroup");
  const std::string zsh = read_file(kScripts + "/_regroup");
  const std::string fish = read_file(kScripts + "/regroup.fish");
  const std::set<std::string> all = commands();
  EXPECT_GE(all.size(), 10u);
  for (const std::string& command : all) {
    SCOPED_TRACE(command);
    const std::string in_bash = part(bash, "    " + command + ") echo '", "\n");
    const std::string in_zsh = part(zsh, "      " + command + ")\n", ") ;;");
    const std::set<std::string> flags = flags_of({command});
    EXPECT_GE(flags.size(), 2u);
    for (const std::string& flag : flags) {
      EXPECT_TRUE(contains(in_bash, flag));
      if (flag == "--help") continue;  // in zsh and fish once, for all
      EXPECT_TRUE(contains(in_zsh, flag));
      EXPECT_TRUE(contains(
          fish, fmt::format("__fish_seen_subcommand_from {}' -l {} ", command, flag.substr(2))));
    }
  }
  for (const std::string& flag : flags_of({})) {
    EXPECT_TRUE(contains(part(bash, "    *) echo '", "\n"), flag));
    EXPECT_TRUE(contains(part(zsh, "globals=(", "\n  )"), flag));
    EXPECT_TRUE(contains(fish, fmt::format("complete -c regroup -l {} ", flag.substr(2))));
  }
}

TEST(Completion, ParsesInEveryShellThatIsThere) {
  EXPECT_EQ(run_process("/bin/bash", {"-n", kScripts + "/regroup"}).exit_code, 0);
  for (const auto& [shell, script] : {std::pair{"zsh", "/_regroup"}, {"fish", "/regroup.fish"}}) {
    if (run_process("/bin/sh", {"-c", fmt::format("command -v {}", shell)}).exit_code != 0)
      continue;
    const Finished run =
        run_process("/bin/sh", {"-c", fmt::format("{} -n '{}{}'", shell, kScripts, script)});
    EXPECT_EQ(run.exit_code, 0) << run.err;
  }
}

TEST(Completion, BashAnswersTab) {
  const auto is = [](const Words& typed, Words expected) {
    SCOPED_TRACE(fmt::format("{}", fmt::join(typed, " ")));
    EXPECT_EQ(tab(typed), expected);
  };
  is({"regroup", "conv"}, {"convert"});
  is({"regroup", "convert", "--kv"}, {"--kv-heads"});
  is({"regroup", "--quiet", "convert", "--kv"}, {"--kv-heads"});
  is({"regroup", "plan", "--kv"}, {"--kv-dtype", "--kv-heads"});
  is({"regroup", "convert", "--log-"}, {"--log-level"});  // of every command
  is({"regroup", "convert", "--resume", ""}, {"auto", "never", "required"});
  is({"regroup", "convert", "--resume", "=", "r"}, {"required"});
  is({"regroup", "convert", "--resume", "="}, {"auto", "never", "required"});
  is({"regroup", "convert", "--dtype", "b"}, {"bf16"});
  is({"regroup", "convert", "--kv-heads", ""}, {});  // any number
  is({"regroup", "convert", "--method", "fir"}, {"first"});
  is({"regroup", "--device", ""}, {"auto", "cpu", "cuda"});
  is({"regroup", "convert", "--overwrite", "--dry"}, {"--dry-run"});
  // "eval" is the value of a flag here and no command.
  is({"regroup", "--recipe", "eval", "verif"}, {"verify"});
}

TEST(Completion, BashFindsFilesAndFolders) {
  const TemporaryFolder folder;
  folder.write("a text.txt", "");
  run_process("/bin/mkdir", {folder / "a folder"});
  const Words both = {folder / "a folder", folder / "a text.txt"};
  const std::string start = folder / "a ";
  EXPECT_EQ(tab({"regroup", "eval", "--text", start}), both);
  EXPECT_EQ(tab({"regroup", "eval", "--text", "x.txt", start}), both);  // takes several
  EXPECT_EQ(tab({"regroup", "--recipe", start}), both);
  EXPECT_EQ(tab({"regroup", "plan", start}), both);
  EXPECT_EQ(tab({"regroup", "convert", start}), Words{folder / "a folder"});
  EXPECT_EQ(tab({"regroup", "uptrain", "--teacher", start}), Words{folder / "a folder"});
}

}  // namespace
}  // namespace regroup::testing
