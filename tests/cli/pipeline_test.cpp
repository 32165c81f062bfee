// `regroup run` from a recipe to a report, on a model of a few thousand weights.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "regroup/base/digest.h"
#include "regroup/base/path.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/output_folder.h"
#include "regroup/convert/plan.h"
#include "support/expect_error.h"
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
    recipe_ = fmt::format(R"(seed = 5

[plan]
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
prompts = ["Tom has, today,"]
sample-tokens = 4
)",
                          folder_.path(), lr);
    folder_.write("r.toml", recipe_);
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
    const Json stages = Json::parse(read_file(out_ + "/run.json")).at("stages");
    for (const Json& stage : stages) {
      EXPECT_EQ(stage.at("state"), "done");
      all[stage.at("name")] = stage.at("seconds").dump();
    }
    return all;
  }

  /// The journal as a run leaves it that ends inside these stages.
  void set_started(const std::set<std::string>& names) const {
    const std::string path = out_ + "/run.json";
    Json journal = Json::parse(read_file(path));
    for (Json& stage : journal["stages"]) {
      if (names.contains(stage.at("name"))) stage["state"] = "started";
    }
    write_file(path, journal.dump());
  }

  /// `run` of the recipe with `from` replaced: the error it ends with, before OUT is made.
  Json mistake(const std::string& from, const std::string& to, int exit_code,
               const std::string& code) {
    SCOPED_TRACE(to);
    std::string changed = recipe_;
    const size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    folder_.write("r.toml", changed.replace(at, from.size(), to));
    const Finished run = run_process(
        REGROUP_BINARY, {"run", folder_ / "r.toml", "--out", out_, "--quiet", "--json"});
    EXPECT_EQ(run.exit_code, exit_code) << run.err;
    EXPECT_FALSE(path_exists(out_)) << "a stage began";
    const Json object = Json::parse(run.out, nullptr, false);
    const Json error = object.is_object() ? object.value("error", Json::object()) : Json::object();
    EXPECT_EQ(error.value("code", ""), code) << run.out << run.err;
    return error;
  }

  TemporaryFolder folder_;
  std::string out_;
  std::string recipe_;
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
  // The recipe's own section and its globals count: one prompt with commas in it, and the seed.
  const Json samples = Json::parse(read_file(out_ + "/results/samples.json")).at("samples");
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].at("prompt"), "Tom has, today,");
  EXPECT_TRUE(contains(read_file(out_ + "/g2/uptrained/recipe.toml"), "seed = 5\n"));
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

  folder_.write("parent/chat_template.jinja", "{{ messages }}");  // decides how the model is asked
  EXPECT_EQ(run().at("stages_run"), 7);                           // all but plan
}

// A wrong value in a late section must not show only when the stages before it have run.
TEST_F(Pipeline, EveryValueIsCheckedBeforeTheFirstStage) {
  struct Case {
    const char* from;
    const char* to;
    const char* code;
    const char* words;
  };
  const Case cases[] = {
      {"[plan]\ncontext = \"64\"", "[plan]\ncontext = \"0\"", "FLAG_VALUE",
       "[plan] --context must"},
      {"[plan]", "[plan]\ngpu-memory = \"80\"", "FLAG_VALUE", "[plan] --gpu-memory must"},
      {"[plan]", "[plan]\nkv-dtype = \"fp5\"", "FLAG_VALUE", "fp5"},
      {"[convert]", "[convert]\nmethod = \"median\"", "METHOD_UNKNOWN",
       ": [convert] --method must"},
      {"[uptrain]", "[uptrain]\nkl-weight = 0.5", "FLAG_MISSING", ": [uptrain] --kl-weight"},
      {"[convert]", "[convert]\ngrouping = \"far\"", "FLAG_VALUE", ": [convert] --grouping must"},
      {"[convert]", "[convert]\ndtype = \"int8\"", "FLAG_VALUE", ": [convert] --dtype must"},
      {"[convert]", "[convert]\nresume = \"maybe\"", "FLAG_VALUE", ": --resume must"},
      {"[convert]", "[convert]\nmax-shard-size = \"5\"", "FLAG_VALUE", "--max-shard-size must"},
      {"[2, 1]", "[2, 3]", "KV_HEADS", "must divide the model's 4 key/value heads, found 3"},
      {"[2, 1]", "[2, 8]", "KV_HEADS", "must not exceed the model's 4 key/value heads, found 8"},
      {"[2, 1]", "[2, \"x\"]", "FLAG_VALUE", "x"},
      {"[uptrain]", "[uptrain]\nschedule = \"cosin\"", "FLAG_VALUE", "found cosin"},
      {"[uptrain]", "[uptrain]\nprecision = \"fp8\"", "FLAG_VALUE", ": --precision must"},
      {"[uptrain]", "[uptrain]\ntrain = \"heads\"", "FLAG_VALUE", ": --train must"},
      {"[uptrain]", "[uptrain]\ntoken-format = \"raw\"", "FLAG_VALUE", "--token-format must"},
      {"[uptrain]", "[uptrain]\nmin-lr = 1", "FLAG_VALUE", "--min-lr must not exceed --lr"},
      {"[uptrain]", "[uptrain]\nwarmup = -1", "FLAG_VALUE", "--warmup"},
      {"[uptrain]", "[uptrain]\nfraction = 0.1", "BUDGET", "exactly one of --steps"},
      {"steps = \"2\"", "steps = \"many\"", "FLAG_VALUE", ": --steps must"},
      {"seq-len = \"16\"", "seq-len = \"0\"", "FLAG_VALUE", ": --seq-len must"},
      {"[eval]", "[eval]\ndtype = \"int8\"", "FLAG_VALUE", "[eval] --dtype must"},
      {"[eval]", "[eval]\nmax-tokens = \"0\"", "FLAG_VALUE", "[eval] --max-tokens must"},
      {"[eval]", "[eval]\nbatch-size = \"all\"", "FLAG_VALUE", "[eval] --batch-size must"},
      {"[eval]", "[eval]\ntoken-nll = \"x\"", "FLAG_VALUE", "[eval] --token-nll needs"},
      {"sample-tokens = 4", "sample-tokens = 0", "FLAG_VALUE", "--sample-tokens"},
      {"prompts", "prompt", "RECIPE_UNKNOWN_KEY", "run.prompt"},
      {"seed = 5", "device = \"gpu\"", "DEVICE", "--device must be"},
      {"seed = 5", "threads = -1", "FLAG_VALUE", "--threads"},
  };
  for (const Case& c : cases) {
    const Json error = mistake(c.from, c.to, 2, c.code);
    EXPECT_TRUE(contains(error.value("message", ""), c.words));
  }
  // Where it is written is said too.
  EXPECT_EQ(mistake("[uptrain]", "[uptrain]\nschedule = \"cosin\"", 2, "FLAG_VALUE").at("path"),
            folder_ / "r.toml");
}

TEST_F(Pipeline, EveryFileIsLookedForBeforeTheFirstStage) {
  const std::string data = fmt::format("data = [\"{}/text.txt\"]", folder_.path());
  const std::string text = fmt::format("text = [\"{}/text.txt\"]", folder_.path());
  const auto path = [](const Json& error) { return error.value("path", ""); };
  EXPECT_EQ(path(mistake(data, "data = [\"none.txt\"]", 3, "IO_READ_ERROR")), "none.txt");
  EXPECT_EQ(path(mistake(text, "text = [\"none.txt\"]", 3, "IO_READ_ERROR")), "none.txt");
  EXPECT_EQ(path(mistake(text, "text = [\"Makefile\"]", 4, "TEXT_KIND")), "Makefile");
  EXPECT_EQ(path(mistake(data, "data = [\"Makefile\"]", 3, "TOKENS_FORMAT")), "Makefile");
  mistake("/parent\"", "/nosuch\"", 3, "CFG_MISSING");
  fs::remove(folder_ / "parent/tokenizer.model");
  EXPECT_EQ(path(mistake("seed", "seed", 3, "TOK_MISSING")), folder_ / "parent");
}

TEST_F(Pipeline, GoesOnAfterAKillBetweenAStageAndItsRecord) {
  run();
  set_started({"g1/uptrain", "g2/convert"});
  const std::string trained = read_file(out_ + "/g1/uptrained/model/model.safetensors");
  EXPECT_EQ(run().at("stages_run"), 2);  // the same bytes again: nothing after them runs
  EXPECT_TRUE(read_file(out_ + "/g1/uptrained/model/model.safetensors") == trained);
}

/// Beside `out`, what a conversion of the recipe's parent leaves that is killed behind its weights.
void interrupt_behind_weights(const std::string& parent, const std::string& out) {
  const ConvertOptions options{.model = parent,
                               .out = out,
                               .n_kv_heads = 2,
                               .method = kDefaultMethod,
                               .grouping = default_grouping(kDefaultMethod),
                               .seed = 5};
  OutputFolder partial(out, conversion_job(ModelFolder::open(parent), options), {});
  const std::string name = "model.safetensors";
  fs::copy_file(out + "/" + name, partial.staging_path(name));
  const Json manifest = Json::parse(read_file(out + "/regroup.json"));
  partial.commit(name, {{"sha256", sha256_of_file(out + "/" + name)},
                        {"size", fs::file_size(out + "/" + name)},
                        {"tensors", manifest.at("output").at("tensors")}});
}

// A conversion made anew is stopped while the older one still stands: its finished files count.
TEST_F(Pipeline, GoesOnWithAnInterruptedReconversion) {
  run();
  const std::string out = out_ + "/g2/converted";
  const std::string converted = read_tree(out);
  interrupt_behind_weights(folder_ / "parent", out);
  set_started({"g2/convert"});
  EXPECT_EQ(run().at("stages_run"), 1);
  const Json result = Json::parse(read_file(out_ + "/results/g2-convert.json"));
  EXPECT_EQ(result.value("resumed_files", 0), 1) << result;
  EXPECT_TRUE(read_tree(out) == converted);
  EXPECT_FALSE(path_exists(out + ".partial"));
}

// The parent trained as the others are, and the speed of the parent and the converted models.
TEST_F(Pipeline, AControlAndABenchAreStagesToo) {
  folder_.write("r.toml", recipe_ + R"(control = true

[bench]
batch = [1, 2]
context = ["16"]
new-tokens = 2
repetitions = 1
no-prefill = true
)");
  EXPECT_EQ(run().at("stages_run"), 10);
  EXPECT_TRUE(path_exists(out_ + "/control/uptrained/model/model.safetensors"));
  const Json models = Json::parse(read_file(out_ + "/results/eval.json")).at("models");
  ASSERT_EQ(models.size(), 6u);
  EXPECT_EQ(models[5].at("model_name"), out_ + "/control/uptrained/model");
  EXPECT_EQ(models[5].at("regroup").at("role"), "uptrained");
  EXPECT_EQ(models[5].at("regroup").at("n_kv_heads"), 4);
  const Json runs = Json::parse(read_file(out_ + "/results/bench.json")).at("runs");
  ASSERT_EQ(runs.size(), 6u);
  std::set<int64_t> heads;
  for (const Json& point : runs) heads.insert(point.at("n_kv_heads").get<int64_t>());
  EXPECT_EQ(heads, (std::set<int64_t>{1, 2, 4}));
  const std::string report = read_file(out_ + "/report.md");
  EXPECT_TRUE(contains(report, "control"));
  EXPECT_TRUE(contains(report, "Speed"));
  EXPECT_EQ(run().at("stages_run"), 0);
}

TEST_F(Pipeline, AControlNeedsTraining) {
  std::string without = recipe_;
  const size_t from = without.find("[uptrain]");
  without.erase(from, without.find("[eval]") - from);
  recipe_ = without;
  const Json error = mistake("sample-tokens = 4", "control = true", 2, "RECIPE_MISSING_KEY");
  EXPECT_TRUE(contains(error.value("message", ""), "[uptrain]"));
}

// A parent that learned from itself alone would be no control; with a share of the text it is one.
TEST_F(Pipeline, AControlLearnsSomethingElse) {
  recipe_.replace(recipe_.find("batch-size = 2"), 14, "batch-size = 2\nteacher = \"parent\"");
  const Json error = mistake("sample-tokens = 4", "control = true", 2, "FLAG_CONFLICT");
  EXPECT_TRUE(contains(error.value("message", ""), "the teacher is the parent")) << error;
  recipe_.replace(recipe_.find("batch-size = 2"), 14, "batch-size = 2\nkl-weight = 0.5");
  folder_.write("r.toml", recipe_ + "control = true\n");
  EXPECT_EQ(run().at("stages_run"), 9);
}

// Heads that the last stage could not measure are refused before the first.
TEST_F(Pipeline, HeadsOfABenchAreCheckedFirst) {
  mistake("sample-tokens = 4", "sample-tokens = 4\n[bench]\nkv-heads = [2, 3]", 2, "KV_HEADS");
  folder_.write("r.toml", recipe_ + R"(
[bench]
kv-heads = [2, 1]
context = "16"
new-tokens = 2
repetitions = 1
no-prefill = true
)");
  EXPECT_EQ(run().at("stages_run"), 9);
  const Json runs = Json::parse(read_file(out_ + "/results/bench.json")).at("runs");
  EXPECT_EQ(runs.size(), 3u + 2u + 1u) << "of 4, 2 and 1 heads those it can have";
}

}  // namespace
}  // namespace regroup::testing
