// `uptrain --teacher` as a user sees it, and a teacher in a recipe.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "regroup/base/path.h"
#include "regroup/base/strict_json.h"
#include "support/expect_error.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTokenizer = "../shared/tokenizers/tok512/tokenizer.model";

class TeacherCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
    write_tiny_model(folder_ / "parent", {.n_layers = 1, .vocab_size = 512});
    write_tiny_model(folder_ / "student", {.n_layers = 1, .n_kv_heads = 2, .vocab_size = 512});
    for (const char* model : {"parent", "student"}) {
      fs::copy_file(kTokenizer, (folder_ / model) + "/tokenizer.model");
    }
    std::string text;
    for (int i = 0; i < 60; ++i) text += fmt::format("Tom has {} kites and one ball. ", i);
    folder_.write("text.txt", text);
  }

  Finished uptrain(const std::vector<std::string>& more) const {
    std::vector<std::string> line = {"uptrain",
                                     folder_ / "student",
                                     folder_ / "run",
                                     "--data",
                                     folder_ / "text.txt",
                                     "--steps",
                                     "3",
                                     "--seq-len",
                                     "16",
                                     "--batch-size",
                                     "2",
                                     "--device",
                                     "cpu",
                                     "--threads",
                                     "1",
                                     "--json"};
    line.insert(line.end(), more.begin(), more.end());
    return run_process(REGROUP_BINARY, line);
  }

  TemporaryFolder folder_;
};

TEST_F(TeacherCommand, TrainsAndSaysSo) {
  const Finished run = uptrain({"--teacher", folder_ / "parent", "--kl-weight", "0.75",
                                "--temperature", "2", "--train", "kv", "--kv-lr-scale", "2"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json json = Json::parse(run.out);
  EXPECT_EQ(json.at("teacher"), folder_ / "parent");
  EXPECT_GT(json.at("kl"), 0.0);
  EXPECT_GT(json.at("ce"), 0.0);
  EXPECT_TRUE(
      contains(run.err, fmt::format("{}, KL weight 0.75, temperature 2", folder_ / "parent")));
  EXPECT_TRUE(contains(run.err, "are held once for both"));
  const std::string metrics = read_file(folder_ / "run/metrics.jsonl");
  EXPECT_TRUE(contains(metrics, fmt::format("\"teacher\":\"{}\"", folder_ / "parent")));
  EXPECT_TRUE(contains(metrics, "\"kl\":"));
  EXPECT_TRUE(contains(read_file(folder_ / "run/recipe.toml"), "kl-weight=0.75"));
}

TEST_F(TeacherCommand, FlagsOfATeacherNeedOne) {
  for (const char* flag : {"--kl-weight", "--temperature", "--teacher-cache", "--teacher-top-k"}) {
    const Finished run = uptrain({flag, "1"});
    EXPECT_EQ(run.exit_code, 2) << flag;
    const Json error = Json::parse(run.out).at("error");
    EXPECT_EQ(error.at("code"), "FLAG_MISSING");
    EXPECT_EQ(error.at("message"),
              fmt::format("{} needs --teacher, the model to learn from", flag));
  }
  EXPECT_FALSE(path_exists(folder_ / "run"));
}

TEST_F(TeacherCommand, ParentInARecipeIsTheUnconvertedModel) {
  const auto run = [&](const std::string& teacher) {
    folder_.write("r.toml", fmt::format(R"([convert]
model = "{0}/parent"
kv-heads = [2]

[uptrain]
data = ["{0}/text.txt"]
teacher = "{1}"
steps = "2"
seq-len = "16"
batch-size = 2
)",
                                        folder_.path(), teacher));
    return run_process(REGROUP_BINARY, {"run", folder_ / "r.toml", "--out", folder_ / "out",
                                        "--device", "cpu", "--threads", "1", "--quiet", "--json"});
  };
  const Finished first = run("parent");
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const Json uptrained = Json::parse(read_file(folder_ / "out/results/g2-uptrain.json"));
  EXPECT_EQ(uptrained.at("teacher"), folder_ / "parent");
  // The model itself is the same teacher: its weights decide, but the command line is another.
  EXPECT_EQ(Json::parse(run("parent").out).at("stages_run"), 0);
  // A teacher that changes makes the stage run again.
  write_tiny_model(folder_ / "other", {.n_layers = 1, .vocab_size = 512, .seed = 2});
  fs::copy_file(kTokenizer, folder_ / "other/tokenizer.model");
  const Finished second = run(folder_ / "other");
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(Json::parse(second.out).at("stages_run"), 1);
}

}  // namespace
}  // namespace regroup::testing
