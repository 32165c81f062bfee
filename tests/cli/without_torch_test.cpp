// The program where LibTorch is missing: a copy of it with nothing beside it.
#include <filesystem>

#include "cli/cli_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

/// The program alone in a folder of its own, so that libregroup_torch.so is not beside it.
class Alone {
 public:
  Alone() { fs::copy_file(REGROUP_BINARY, folder_ / "regroup"); }
  Finished operator()(const Words& arguments) const {
    return run_process(folder_ / "regroup", arguments);
  }

 private:
  TemporaryFolder folder_;
};

TEST(WithoutTorch, TheLightCommandsWork) {
  const Alone alone;
  const Workplace w;
  for (const Words& command :
       {Words{"--version"}, Words{"uptrain", "--help"}, Words{"plan", w.model},
        Words{"verify", w.model},
        Words{"convert", w.model, w.out, "--kv-heads", "2", "--method", "mean"},
        Words{"convert", w.model, w.folder / "first", "--kv-heads", "1", "--method", "first"},
        Words{"convert", w.model, w.folder / "random", "--kv-heads", "1", "--method", "random"},
        Words{"convert", w.model, w.folder / "x", "--kv-heads", "1", "--method", "pca",
              "--dry-run"},
        Words{"verify", w.out, "--against", w.model},
        Words{"report", w.out + "/regroup.json", "--out", w.folder / "r.md"}}) {
    const Finished run = alone(command);
    EXPECT_EQ(run.exit_code, 0) << fmt::format("{}\n{}", fmt::join(command, " "), run.err);
    EXPECT_NE(run.out, "");
  }
}

TEST(WithoutTorch, TheBytesAreThoseOfTheProgramWithIt) {
  const Alone alone;
  const Workplace w;
  ASSERT_EQ(alone({"convert", w.model, w.out, "--kv-heads", "2", "--method", "mean"}).exit_code, 0);
  ASSERT_EQ(regroup({"convert", w.model, w.folder / "other", "--kv-heads", "2", "--method", "mean"})
                .exit_code,
            0);
  EXPECT_TRUE(read_tree(w.out) == read_tree(w.folder / "other"));
}

TEST(WithoutTorch, TheOthersSayWhatIsMissing) {
  const Alone alone;
  const Workplace w;
  w.folder.write("a.txt", "Once upon a time.");
  const std::string before = read_tree(w.folder.path());
  for (const Words& command :
       {Words{"generate", w.model, "--prompt", "Once"}, Words{"eval", w.model, "--text", "@a.txt"},
        Words{"uptrain", w.model, "OUT", "--data", "@a.txt", "--steps", "1"},
        Words{"convert", w.model, "OUT", "--kv-heads", "2", "--method", "pca"}}) {
    Words resolved_command = {"--json"};
    for (const std::string& word : command) resolved_command.push_back(resolved(w, word));
    const Finished run = alone(resolved_command);
    SCOPED_TRACE(command.front() + run.err);
    EXPECT_EQ(run.exit_code, 2);
    const Json error = Json::parse(run.out).at("error");
    EXPECT_EQ(error.at("code"), "LIBTORCH");
    EXPECT_TRUE(contains(error.at("message"), "libregroup_torch.so"));
    EXPECT_TRUE(contains(error.at("hint"), "scripts/setup"));
    EXPECT_TRUE(contains(error.at("path"), "libregroup_torch.so"));
  }
  EXPECT_TRUE(read_tree(w.folder.path()) == before) << "something was written";
}

TEST(WithoutTorch, WrongFlagsOfTheOthersAreFoundFirst) {
  const Alone alone;
  const Workplace w;
  const std::pair<Words, const char*> wrong[] = {
      {{"uptrain", "MODEL", "OUT"}, "--data is required"},
      {{"uptrain", "MODEL", "OUT", "--data", "MODEL/config.json", "--steps", "x"}, "--steps"},
      {{"eval", "MODEL"}, "give --text, --tokens"},
      {{"eval", "MODEL", "--text", "@absent.txt"}, "absent.txt"},
      {{"generate", "MODEL"}, "exactly one of --prompt, --prompt-file and --prompt-ids"},
      {{"generate", "MODEL", "--prompt", "a", "--dtype", "f8"}, "--dtype must be"},
      {{"generate", "MODEL", "--prompt", "a", "--device", "tpu"}, "--device must be"},
      {{"convert", "MODEL", "OUT", "--kv-heads", "3", "--method", "pca"}, "--kv-heads"},
      {{"compare", "MODEL", "--kv-heads", "3", "--text", "@a.txt"}, "--kv-heads"},
      {{"run", "@absent.toml"}, "absent.toml"}};
  w.folder.write("a.txt", "Once.");
  for (const auto& [words, message] : wrong) {
    Words command;
    for (const std::string& word : words) command.push_back(resolved(w, word));
    const Finished run = alone(command);
    EXPECT_NE(run.exit_code, 0);
    EXPECT_TRUE(contains(run.err, message));
    EXPECT_FALSE(contains(run.err, "LIBTORCH")) << run.err;
  }
}

TEST(WithTorch, ItIsFoundThroughALink) {
  const Workplace w;
  const std::string link = w.folder / "link";
  fs::create_symlink(fs::absolute(REGROUP_BINARY), link);
  const Finished run =
      run_process(link, {"convert", w.model, w.out, "--kv-heads", "2", "--method", "pca"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
}

}  // namespace
}  // namespace regroup::testing
