// A --document-separator that never occurs is a misspelt one.
#include <filesystem>

#include "cli/cli_tools.h"
#include "regroup/base/path.h"

namespace regroup::testing {
namespace {

constexpr const char* kWarning = "--document-separator <|eot|> does not occur in ";

class Separator : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
    write_tiny_model(w_.model, {.n_layers = 1, .n_heads = 8, .head_dim = 4, .vocab_size = 512});
    std::filesystem::copy_file(kTokenizer, w_.model + "/tokenizer.model");
    std::string text;
    for (int i = 0; i < 200; ++i) text += fmt::format("Tom has {} kites. ", i);
    w_.folder.write("without.txt", text);
    w_.folder.write("with.txt", text + "<|eot|>" + text);
    w_.folder.write("lines.jsonl", "{\"text\": \"Tom has a kite.\"}\n");
  }

  /// stderr of a command that succeeds, its separator given.
  std::string err_of(const Words& command) const {
    Words words;
    for (const std::string& word : command) words.push_back(resolved(w_, word));
    const Finished run = regroup(with(words, {"--document-separator", "<|eot|>"}));
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.err;
  }

  Workplace w_;
};

TEST_F(Separator, EveryCommandThatTakesOneWarns) {
  const Words cpu = {"--device", "cpu", "--threads", "1"};
  const Words calibrated = {
      "--kv-heads",    "4", "--calibration", "@without.txt", "--calibration-seq-len", "64",
      "--layer-steps", "0"};
  const Words commands[] = {
      {"tokenize", "MODEL", "@without.txt", "--out", "@tokens.bin"},
      with({"eval", "MODEL", "--text", "@without.txt"}, cpu),
      with({"uptrain", "MODEL", "@run", "--data", "@without.txt", "--steps", "1", "--seq-len", "16",
            "--batch-size", "2"},
           cpu),
      with(with({"convert", "MODEL", "@converted"}, calibrated), cpu),
      with(with({"compare", "MODEL", "--text", "@without.txt", "--methods", "pca"}, calibrated),
           cpu)};
  for (const Words& command : commands) {
    EXPECT_TRUE(contains(err_of(command), kWarning + (w_.folder / "without.txt"))) << command[0];
  }
}

TEST_F(Separator, SeveralFilesWithoutItAreCounted) {
  w_.folder.write("also.txt", "Tom has a kite.");
  EXPECT_TRUE(
      contains(err_of({"tokenize", "MODEL", "@without.txt", "@also.txt", "--out", "@t.bin"}),
               "without.txt, nor in 1 more .txt: each is read as one document"));
  EXPECT_TRUE(contains(err_of({"tokenize", "MODEL", "@also.txt", "--out", "@t.bin"}),
                       "also.txt: it is read as one document"));
}

TEST_F(Separator, OneFileThatHasItIsEnough) {
  const std::string err =
      err_of({"tokenize", "MODEL", "@without.txt", "@with.txt", "--out", "@tokens.bin"});
  EXPECT_EQ(err.find("warning"), std::string::npos) << err;
}

TEST_F(Separator, IsLookedForToTheEnd) {
  std::string text(17 << 20, 'a');  // more than a block; the separator lies across its end
  text.replace((16 << 20) - 3, 7, "<|eot|>");
  w_.folder.write("long.txt", text);
  // The tokenizer would take long over it: convert asks for the separator before it reads the text.
  Words words = {"convert",
                 w_.model,
                 w_.out,
                 "--kv-heads",
                 "4",
                 "--dry-run",
                 "--calibration",
                 w_.folder / "long.txt",
                 "--document-separator"};
  const Finished there = regroup(with(words, {"<|eot|>"}));
  EXPECT_EQ(there.err.find("does not occur"), std::string::npos) << there.err;
  EXPECT_TRUE(contains(regroup(with(words, {"<|e0t|>"})).err, "<|e0t|> does not occur in"));
}

TEST_F(Separator, LinesOfJsonNeedNone) {
  const std::string err = err_of({"tokenize", "MODEL", "@lines.jsonl", "--out", "@tokens.bin"});
  EXPECT_EQ(err.find("warning"), std::string::npos) << err;
}

}  // namespace
}  // namespace regroup::testing
