// `regroup sweep` from a model to the number of KV heads that is enough.
#include <csignal>
#include <cstdlib>
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
  const Json points = Json::parse(again.out)["points"];
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(points[i]["results"], result["points"][i]["results"]);
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

const Words kServer = {"--gpu-memory", "1MiB", "--gpu-bandwidth", "1GB", "--gpu-flops", "1T",
                       "--gpu-price",  "2",    "--max-context",   "64"};

Words and_server(Words more) {
  more.insert(more.end(), kServer.begin(), kServer.end());
  return more;
}

constexpr const char* kLog = "time_s,prompt_tokens,output_tokens\n0,30,20\n0,20,30\n0.001,8,40\n";

// What replay says of the same model, trace and server, number by number.
TEST_F(Sweep, TrafficIsThatOfReplay) {
  const std::string trace = w_.folder.write("log.csv", kLog);
  const Words more = and_server({"--trace", trace, "--pareto", "cost", "--json"});
  const Finished run = regroup(words(more));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json result = Json::parse(run.out);
  Words replay = and_server(
      {"replay", w_.folder / "parent", "--trace", trace, "--kv-heads", "4,2,1", "--json"});
  const Finished alone = regroup(replay);
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  const Json options = Json::parse(alone.out)["options"];
  ASSERT_EQ(options.size(), 3U);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(result["points"][i]["traffic"], options[i]) << i;
  const Json& parent = options[0];
  // Two a device and hour, all of the time paid for: 2 * seconds / 3600 * 1e6 / 90 output tokens.
  EXPECT_NEAR(parent["cost_per_million_tokens"].get<double>(),
              2 * parent["duration_s"].get<double>() / 3600 * 1e6 / 90, 1e-9);
  EXPECT_EQ(result["pareto"], result["fronts"]["cost"]);
  EXPECT_EQ(result["pareto_by"], "cost");
  EXPECT_EQ(result["fronts"]["cache"].back(), 1);
  EXPECT_EQ(result["trace"]["name"], "log.csv");
  const std::string page = read_file(w_.folder / "out/report.html");
  for (const char* text : {"Loss against the KV cache", "Loss against the cost of the traffic",
                           "Serving a trace of requests", "Cost of 1 M tokens"}) {
    EXPECT_TRUE(contains(page, text)) << text;
  }
  EXPECT_TRUE(contains(read_file(w_.folder / "out/report.md"), "Loss against the cost"));
}

// A number that was replayed before is read from results/replay.json, unless something is different.
TEST_F(Sweep, TrafficIsKeptNumberByNumber) {
  const std::string trace = w_.folder.write("log.csv", kLog);
  const Words more = and_server({"--trace", trace, "--json"});
  ASSERT_EQ(regroup(words(more)).exit_code, 0);
  const std::string path = w_.folder / "out/results/replay.json";
  Json kept = Json::parse(read_file(path));
  const double known = kept["options"][0]["tokens_per_s"].get<double>();
  kept["options"][0]["tokens_per_s"] = 7;
  kept["options"].erase(2);
  w_.folder.write("out/results/replay.json", kept.dump());
  const Json again = Json::parse(regroup(words(more)).out)["points"];
  EXPECT_EQ(again[0]["traffic"]["tokens_per_s"], 7);
  EXPECT_TRUE(again[2]["traffic"]["tokens_per_s"].is_number());
  Words faster = more;
  faster.insert(faster.end(), {"--rate-scale", "2"});
  const Json other = Json::parse(regroup(words(faster)).out)["points"];
  EXPECT_NE(other[0]["traffic"]["tokens_per_s"], 7);
  w_.folder.write("out/results/replay.json", "{ torn");
  EXPECT_EQ(Json::parse(regroup(words(more)).out)["points"][0]["traffic"]["tokens_per_s"], known);
  // Without traffic nothing of it is left in the report.
  ASSERT_EQ(regroup(words({})).exit_code, 0);
  EXPECT_FALSE(contains(read_file(w_.folder / "out/report.html"), "Serving a trace of requests"));
}

// Stopped between two numbers the same command goes on with the second.
TEST_F(Sweep, AStoppedReplayGoesOn) {
  const Words all = words(and_server({"--requests", "1000000", "--rate", "1000", "--json"}));
  const std::string path = w_.folder / "out/results/replay.json.partial";
  const pid_t child =
      start_process(REGROUP_BINARY, all, w_.folder / "run.out", w_.folder / "run.err");
  ASSERT_GT(child, 0);
  for (int i = 0; i < 6000 && !path_exists(path); ++i) ::usleep(20'000);
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  const std::string err = read_file(w_.folder / "run.err");
  ASSERT_TRUE(WIFEXITED(status)) << err;
  ASSERT_EQ(WEXITSTATUS(status), 75) << err;
  EXPECT_TRUE(is_civil(err));
  Json kept = Json::parse(read_file(path));
  ASSERT_FALSE(kept["options"].empty());
  kept["options"][0]["tokens_per_s"] = 7;
  w_.folder.write("out/results/replay.json.partial", kept.dump());
  const Finished run = regroup(all);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_FALSE(path_exists(path));
  const Json points = Json::parse(run.out)["points"];
  EXPECT_EQ(points[0]["traffic"]["tokens_per_s"], 7);
  EXPECT_GT(points[2]["traffic"]["completed"], 0);
}

TEST_F(Sweep, TolerancesOfTasksDecideToo) {
  std::string records;
  for (int i = 0; i < 12; ++i) {
    records += fmt::format(
        "{{\"context\": \"Tom has {} kites and\", \"choices\": [\"one ball.\", \"no dog.\"], "
        "\"gold\": {}}}\n",
        i, i % 2);
  }
  const std::string task = w_.folder.write("mine.jsonl", records);
  const Words more = {"--task", task,    "--tolerance-task", "mine=100", "--tolerance",
                      "50",     "--json"};
  const Finished run = regroup(words(more));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json result = Json::parse(run.out);
  EXPECT_EQ(result["chosen"], 1);
  EXPECT_EQ(result["tolerances"].size(), 2U);
  const Json eval = read_strict_json(w_.folder / "out/results/eval.json", kManifestJson);
  const Json& paired = eval["models"][2]["regroup"]["paired"]["mine"]["acc"];
  const Json& check = result["points"][2]["tolerances"][1];
  EXPECT_EQ(check["name"], "mine");
  EXPECT_NEAR(check["lost"].get<double>(), -100 * paired["delta"].get<double>(), 1e-9);
  EXPECT_NEAR(check["ci95"][1].get<double>(), -100 * paired["ci95"][0].get<double>(), 1e-9);
  // A tighter one is broken by every interval that is wider, and no model is asked again.
  Words tight = more;
  tight[3] = "mine=0.001";
  const Finished none = regroup(words(tight));
  ASSERT_EQ(none.exit_code, 0) << none.err;
  const Json& broken = Json::parse(none.out);
  for (size_t i = 1; i < 3; ++i) {
    const Json& held = broken["points"][i]["tolerances"][1];
    EXPECT_EQ(held["within"], held["ci95"][1].get<double>() < 0.001);
  }
  EXPECT_FALSE(contains(none.err, "regroup eval")) << none.err;
}

TEST_F(Sweep, ItsTableFitsTheTerminal) {
  ::setenv("COLUMNS", "60", 1);
  const Finished run = regroup(words(and_server({"--requests", "5", "--tolerance", "50"})));
  ::unsetenv("COLUMNS");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(contains(run.out, "KV heads  model"));
  const std::string table = run.out.substr(0, run.out.find("1 KV head: "));
  for (size_t from = 0; from < table.size();) {
    const size_t end = std::min(table.find('\n', from), table.size());
    EXPECT_LE(end - from, 62U) << table;  // a "±" has two bytes
    from = end + 1;
  }
}

TEST_F(Sweep, RefusesTrafficAndTolerancesThatCannotBe) {
  const std::string trace = w_.folder.write("log.csv", kLog);
  const std::string bad = w_.folder.write("bad.csv", "time_s,prompt_tokens,output_tokens\n0,0,1\n");
  mistake(w_, words({"--trace", trace}), 2, "FLAG_MISSING");
  mistake(w_, words({"--requests", "10000"}), 2, "FLAG_MISSING");  // though it is the default
  mistake(w_, words({"--pareto", "cost"}), 2, "FLAG_MISSING");
  mistake(w_, words({"--pareto", "speed"}), 2, "FLAG_VALUE");
  mistake(w_, words({"--trace", trace, "--gpu", "h1000"}), 2, "GPU_UNKNOWN");
  for (const char* heads : {"0", "-1", "3"}) {
    mistake(w_, words(and_server({"--trace", trace, "--kv-heads", heads})), 2, "KV_HEADS");
  }
  mistake(w_, words(and_server({"--trace", bad})), 3, "TRACE_VALUE");
  mistake(w_, words(and_server({"--trace", trace + ".gz"})), 3, "IO_READ_ERROR");
  mistake(w_, words(and_server({"--trace", trace, "--trace-time", "when"})), 2, "TRACE_COLUMN");
  const Json small =
      mistake(w_, words({"--gpu-memory", "1KiB", "--gpu-bandwidth", "1GB", "--gpu-flops", "1T"}), 2,
              "REPLAY_MEMORY");
  EXPECT_TRUE(contains(text(small, "message"), "found none"));
  const Json unknown =
      mistake(w_, words({"--task", "piqa", "--tolerance-task", "pika=1"}), 2, "TASK_UNKNOWN");
  EXPECT_TRUE(contains(text(unknown, "hint"), "did you mean piqa?"));
  mistake(w_, words({"--tolerance-task", "piqa=1"}), 2, "TASK_UNKNOWN");
  mistake(w_, words({"--tolerance-probe", "passkey=1"}), 2, "PROBE_UNKNOWN");
  mistake(w_, words({"--probe", "passkey", "--tolerance-probe", "passkey"}), 2, "FLAG_VALUE");
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
  // What stands in OUT is as it was, the recipe of an earlier sweep too.
  std::filesystem::create_directories(out + "/results");
  w_.folder.write("out/sweep.toml", "# of another sweep\n");
  w_.folder.write("out/results/eval.json", "{}");
  mistake(w_, {"sweep", parent, out, "--kv-heads", "3", "--text", text_}, 2, "KV_HEADS");
}

}  // namespace
}  // namespace regroup::testing
