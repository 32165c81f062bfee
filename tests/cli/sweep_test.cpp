// `regroup sweep` from a model to the number of KV heads that is enough.
#include <filesystem>

#include "cli_tools.h"

namespace regroup::testing {
namespace {

class Sweep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
    write_tiny_model(w_.folder / "parent",
                     {.n_layers = 1, .n_heads = 4, .n_kv_heads = 4, .vocab_size = 512});
    std::filesystem::copy_file(kTokenizer, w_.folder / "parent/tokenizer.model");
    std::string text;
    for (int i = 0; i < 60; ++i) text += fmt::format("Tom has {} kites and one ball. ", i);
    text_ = w_.folder.write("text.txt", text);
  }
  Words words(const Words& more) {
    Words all = {"sweep",
                 w_.folder / "parent",
                 w_.folder / "out",
                 "--kv-heads",
                 "2,1",
                 "--text",
                 text_,
                 "--seq-len",
                 "32"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Workplace w_;
  std::string text_;
};

TEST_F(Sweep, ComparesEveryNumberWithTheParent) {
  const Finished run = regroup(words({"--tolerance", "50", "--json"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json result = Json::parse(run.out);
  ASSERT_EQ(result["points"].size(), 3U);
  EXPECT_EQ(result["points"][0]["role"], "baseline");
  for (size_t i = 0; i < 3; ++i) {
    const Json& point = result["points"][i];
    EXPECT_EQ(point["n_kv_heads"], i == 0 ? 4 : 3 - static_cast<int>(i));
    EXPECT_EQ(point["kv_bytes_per_token"].get<int64_t>() * 4,
              result["points"][0]["kv_bytes_per_token"].get<int64_t>() *
                  point["n_kv_heads"].get<int64_t>());
    EXPECT_TRUE(point["results"]["text"]["loss,none"].is_number());
  }
  EXPECT_EQ(result["pareto"].back(), 1);  // nothing has a smaller cache
  EXPECT_EQ(result["chosen"], 1);
  EXPECT_TRUE(contains(result["why"].get<std::string>(), "nothing was uptrained"));
  EXPECT_TRUE(path_exists(w_.folder / "out/report.html"));

  // The same command finds everything done; another tolerance needs no model.
  const Finished again = regroup(words({"--tolerance", "0", "--json"}));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(Json::parse(again.out)["points"], result["points"]);
  EXPECT_TRUE(contains(again.err, "g2/convert: done before")) << again.err;
  EXPECT_FALSE(contains(again.err, "regroup convert")) << again.err;
}

TEST_F(Sweep, TakesStagesFromARecipe) {
  const std::string recipe = w_.folder.write(
      "r.toml",
      fmt::format("[convert]\nmethod = \"first\"\n[uptrain]\ndata = [\"{0}\"]\nsteps = 2\n"
                  "seq-len = \"16\"\nbatch-size = 2\nlr = 1e-3\n",
                  text_));
  Words all = {"--recipe", recipe};
  const Words rest = words({"--json"});
  all.insert(all.end(), rest.begin(), rest.end());
  const Finished run = regroup(all);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json result = Json::parse(run.out);
  EXPECT_EQ(result["points"][1]["role"], "uptrained");
  EXPECT_FALSE(result.contains("chosen"));
  EXPECT_TRUE(contains(read_file(w_.folder / "out/g2/converted/regroup.json"), "\"first\""));
}

TEST_F(Sweep, RefusesWhatCannotBeMeasured) {
  const std::string parent = w_.folder / "parent";
  const std::string out = w_.folder / "out";
  mistake(w_, {"sweep", parent, out, "--kv-heads", "2"}, 2, "FLAG_MISSING");
  mistake(w_, {"sweep", parent, "--kv-heads", "2", "--text", text_}, 2, "FLAG_MISSING");
  mistake(w_, words({"--tolerance", "-1"}), 2, "FLAG_VALUE");
  mistake(w_, {"sweep", parent, out, "--kv-heads", "3", "--text", text_}, 2, "KV_HEADS");
  mistake(w_, {"sweep", parent, out, "--kv-heads", "2", "--text", out + ".txt"}, 3,
          "IO_READ_ERROR");
}

}  // namespace
}  // namespace regroup::testing
