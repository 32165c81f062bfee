// `regroup run` from a recipe to a report, on a model of a few thousand weights.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/strict_json.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTokenizer = "../shared/tokenizers/tok512/tokenizer.model";

class Pipeline : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
    write_tiny_model(folder_ / "parent", {.n_layers = 1, .vocab_size = 512});
    fs::copy_file(kTokenizer, folder_ / "parent/tokenizer.model");
    std::string text;
    for (int i = 0; i < 60; ++i) text += fmt::format("Tom has {} kites and one ball. ", i);
    folder_.write("text.txt", text);
    out_ = folder_ / "run";
    write_recipe("1e-3");
  }

  void write_recipe(const std::string& lr) {
    folder_.write("r.toml", fmt::format(R"([plan]
context = "64"

[convert]
model = "{0}/parent"
kv-heads = [2, 1]

[uptrain]
data = ["{0}/text.txt"]
valid = "{0}/text.txt"
steps = "2"
seq-len = "16"
batch-size = 2
lr = {1}

[eval]
text = ["{0}/text.txt"]
seq-len = "32"

[run]
prompts = ["Tom has"]
sample-tokens = 4
)",
                                        folder_.path(), lr));
  }

  Json run() {
    const Finished run =
        run_process(REGROUP_BINARY, {"run", folder_ / "r.toml", "--out", out_, "--device", "cpu",
                                     "--threads", "1", "--quiet", "--json"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    const Json json = Json::parse(run.out, nullptr, false);
    return json.is_object() ? json : Json{{"stages_run", -1}, {"stages_skipped", -1}};
  }

  /// Stage -> seconds it took: a stage that ran again has another time.
  std::map<std::string, std::string> stages() const {
    std::map<std::string, std::string> all;
    for (const Json& stage : Json::parse(read_file(out_ + "/run.json")).at("stages")) {
      EXPECT_EQ(stage.at("state"), "done");
      all[stage.at("name")] = stage.at("seconds").dump();
    }
    return all;
  }

  TemporaryFolder folder_;
  std::string out_;
};

// plan, and convert, eval and uptrain for each of two numbers of heads, and eval of all: 1 + 6 + 1.
TEST_F(Pipeline, RunsOnceAndThenOnlyWhatDependsOnAChange) {
  const Json first = run();
  EXPECT_EQ(first.at("stages_run"), 8);
  EXPECT_EQ(first.at("stages_skipped"), 0);
  for (const char* name :
       {"report.html", "report.md", "run.json", "results/eval.json", "results/samples.json",
        "g2/converted/config.json", "g1/uptrained/model/model.safetensors"}) {
    EXPECT_TRUE(path_exists(out_ + "/" + name)) << name;
  }
  EXPECT_NE(read_file(out_ + "/report.html").find("<html"), std::string::npos);
  const auto before = stages();

  const Json second = run();
  EXPECT_EQ(second.at("stages_run"), 0);
  EXPECT_EQ(second.at("stages_skipped"), 8);
  EXPECT_EQ(stages(), before);

  const std::string converted = read_tree(out_ + "/g2/converted");
  const std::string trained = read_file(out_ + "/g2/uptrained/model/model.safetensors");
  write_recipe("2e-3");
  const Json third = run();
  EXPECT_EQ(third.at("stages_run"), 3);  // both uptrainings, and the eval that compares all
  EXPECT_EQ(third.at("stages_skipped"), 5);
  const auto after = stages();
  for (const auto& [name, seconds] : before) {
    const bool depends = name == "eval" || name.ends_with("/uptrain");
    EXPECT_EQ(after.at(name) != seconds, depends) << name;
  }
  EXPECT_TRUE(read_tree(out_ + "/g2/converted") == converted);
  EXPECT_FALSE(read_file(out_ + "/g2/uptrained/model/model.safetensors") == trained);
}

TEST_F(Pipeline, GoesOnAfterAKillBetweenAStageAndItsRecord) {
  run();
  const std::string path = out_ + "/run.json";
  Json journal = Json::parse(read_file(path));
  for (Json& stage : journal["stages"]) {
    if (stage["name"] == "g1/uptrain" || stage["name"] == "g2/convert") stage["state"] = "started";
  }
  write_file(path, journal.dump());
  const std::string trained = read_file(out_ + "/g1/uptrained/model/model.safetensors");
  EXPECT_EQ(run().at("stages_run"), 2);  // the same bytes again: nothing after them runs
  EXPECT_TRUE(read_file(out_ + "/g1/uptrained/model/model.safetensors") == trained);
}

}  // namespace
}  // namespace regroup::testing
