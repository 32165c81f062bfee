// Each call of convert, uptrain, eval, report and tokenize fails, every seventh where LibTorch makes runs long.
#include "cli/failing_calls.h"

#include <filesystem>

#include "regroup/text/token_file.h"
#include "support/tiny_tokenizer.h"

namespace regroup::testing {
namespace {

void expect_whole(const Workplace& w) {
  EXPECT_EQ(regroup({"verify", w.out, "--against", w.model}).exit_code, 0);
  EXPECT_FALSE(path_exists(w.out + ".partial"));
}

TEST(FailingCalls, Convert) {
  walk_all({.words = {"convert", "MODEL", "OUT", "--kv-heads", "2", "--method", "mean"},
            .after_failure =
                [](const Workplace& w) {
                  if (path_exists(w.out)) expect_whole(w);  // it failed after the rename
                  std::filesystem::remove_all(w.out);
                },
            .at_the_end = expect_whole},
           15);
}

TEST(FailingCalls, ConvertOverAnother) {
  walk_all(
      {.words = {"convert", "MODEL", "OUT", "--kv-heads", "2", "--method", "mean", "--overwrite"},
       .prepare =
           [](const Workplace& w) {
             ASSERT_EQ(regroup({"convert", w.model, w.out, "--kv-heads", "1", "--method", "mean"})
                           .exit_code,
                       0);
           },
       .after_failure =
           [](const Workplace& w) {
             EXPECT_EQ(regroup({"verify", w.out}).exit_code, 0) << "the old one, or the new";
           },
       .at_the_end = expect_whole},
      15);
}

TEST(FailingCalls, ConvertWithText) {
  walk_all({.words = {"convert", "MODEL", "OUT", "--kv-heads", "2", "--calibration", "@a.bin",
                      "--calibration-tokens", "256", "--calibration-seq-len", "32", "--layer-steps",
                      "2", "--threads", "1", "--device", "cpu", "--scratch", "@scratch"},
            .prepare =
                [](const Workplace& w) {
                  write_tokens(w);
                  std::filesystem::create_directory(w.folder / "scratch");
                },
            .after_failure =
                [](const Workplace& w) {
                  if (path_exists(w.out)) expect_whole(w);
                  std::filesystem::remove_all(w.out);
                },
            .at_the_end = expect_whole,
            .step = 7},
           30);
}

TEST(FailingCalls, Uptrain) {
  const auto whole = [](const Workplace& w) {
    EXPECT_EQ(regroup({"verify", w.out + "/model"}).exit_code, 0);
  };
  walk_all({.words = {"uptrain", "MODEL", "OUT", "--data", "@a.bin", "--steps", "2", "--seq-len",
                      "16", "--batch-size", "2", "--checkpoint-every", "1", "--lr", "1e-3",
                      "--threads", "1", "--device", "cpu"},
            .prepare = write_tokens,
            .after_failure =
                [whole](const Workplace& w) {
                  if (!path_exists(w.out + "/model")) return;
                  whole(w);
                  std::filesystem::remove_all(w.out);
                },
            .at_the_end = whole,
            .step = 7},
           60);
}

TEST(FailingCalls, Eval) {
  const auto whole = [](const Workplace& w) {
    EXPECT_TRUE(Json::parse(read_file(w.folder / "results.json")).is_object());
  };
  walk_all({.words = {"eval", "MODEL", "--tokens", "@a.bin", "--seq-len", "32", "--out",
                      "@results.json", "--threads", "1", "--device", "cpu"},
            .prepare = write_tokens,
            .after_failure =
                [whole](const Workplace& w) {
                  if (path_exists(w.folder / "results.json")) whole(w);
                },
            .at_the_end = whole},
           5);
}

TEST(FailingCalls, Report) {
  const auto whole = [](const Workplace& w) {
    EXPECT_TRUE(read_file(w.folder / "report.html").ends_with("</html>\n"));
  };
  walk_all({.words = {"report", "--results", "@results.json", "--out", "@report.html"},
            .prepare =
                [](const Workplace& w) {
                  write_tokens(w);
                  ASSERT_EQ(regroup({"eval", w.model, "--tokens", w.folder / "a.bin", "--seq-len",
                                     "32", "--out", w.folder / "results.json", "--threads", "1"})
                                .exit_code,
                            0);
                },
            .after_failure =
                [whole](const Workplace& w) {
                  if (path_exists(w.folder / "report.html")) whole(w);
                },
            .at_the_end = whole},
           5);
}

TEST(FailingCalls, Tokenize) {
  if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  walk_all({.words = {"tokenize", "@tokens", "@text.txt", "--out", "@b.bin"},
            .prepare =
                [](const Workplace& w) {
                  write_tiny_model(w.folder / "tokens", {.n_layers = 1, .vocab_size = 512});
                  std::filesystem::copy_file(kTokenizer, w.folder / "tokens/tokenizer.model");
                  w.folder.write("text.txt", "Tom has a kite and one ball. ");
                },
            .after_failure =
                [](const Workplace& w) {
                  if (path_exists(w.folder / "b.bin")) TokenFile(w.folder / "b.bin");
                },
            .at_the_end =
                [](const Workplace& w) {
                  EXPECT_GT(TokenFile(w.folder / "b.bin").size(), 0);
                  EXPECT_TRUE(path_exists(w.folder / "b.bin.json"));
                }},
           5);
}

}  // namespace
}  // namespace regroup::testing
