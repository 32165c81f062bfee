// Calls of run and sweep fail: the journal, the folders, the results and the report. Those of the stages themselves are
// walked over in failing_calls_test.cpp.
#include <filesystem>

#include "cli/failing_calls.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

/// Of the pipeline itself, not inside of a model or a training run.
bool is_of_pipeline(const Call& call) {
  return !contains(call.path, "/converted") && !contains(call.path, "/uptrained");
}

/// Whatever is in the folder of a run under its own name is whole.
void expect_whole_run(const Workplace& w) {
  const Json journal = expect_object(w.out + "/run.json");
  if (!journal.is_null()) {
    EXPECT_TRUE(journal["stages"].is_array());
  }
  if (path_exists(w.out + "/results")) {
    for (const auto& entry : fs::directory_iterator(w.out + "/results")) {
      if (entry.path().extension() == ".json") expect_object(entry.path());
    }
  }
  if (path_exists(w.out + "/g2/converted")) {
    EXPECT_EQ(regroup({"verify", w.out + "/g2/converted", "--against", w.model}).exit_code, 0);
  }
  const std::string report = w.out + "/report.html";
  if (path_exists(report)) {
    EXPECT_TRUE(read_file(report).ends_with("</html>\n"));
  }
}

void expect_finished_run(const Workplace& w, size_t n_stages) {
  expect_whole_run(w);
  const Json journal = expect_object(w.out + "/run.json");
  ASSERT_TRUE(journal.is_object());
  EXPECT_EQ(journal["stages"].size(), n_stages);
  for (const Json& stage : journal["stages"]) EXPECT_EQ(stage["state"], "done") << stage["name"];
  for (const char* name : {"report.html", "report.md"}) {
    EXPECT_TRUE(path_exists(w.out + "/" + name)) << name;
  }
}

TEST(FailingPipeline, Run) {
  walk_all({.words = {"run", "@r.toml", "--out", "OUT", "--threads", "1", "--device", "cpu"},
            .prepare =
                [](const Workplace& w) {
                  write_tokens(w);
                  w.folder.write("r.toml", fmt::format(R"([plan]
context = "64"
[convert]
model = "{0}"
kv-heads = 2
method = "mean"
[uptrain]
data = ["{1}"]
steps = 1
seq-len = "16"
batch-size = 1
[eval]
tokens = ["{1}"]
seq-len = "64"
max-tokens = "65"
)",
                                                       w.model, w.folder / "a.bin"));
                },
            .after_failure = expect_whole_run,
            .at_the_end = [](const Workplace& w) { expect_finished_run(w, 5); },
            .in_turn = true,
            .is_walked = is_of_pipeline},
           40);
}

TEST(FailingPipeline, Sweep) {
  const auto whole = [](const Workplace& w) {
    expect_whole_run(w);
    const Json replay = expect_object(w.out + "/results/replay.json");
    if (!replay.is_null()) {
      EXPECT_EQ(replay["options"].size(), 2U) << "4 and 2 KV heads";
    }
  };
  walk_all(
      {.words = {"--recipe", "@r.toml",         "sweep", "MODEL",       "OUT",      "--kv-heads",
                 "2",        "--method",        "mean",  "--trace",     "@log.csv", "--gpu-memory",
                 "1MiB",     "--gpu-bandwidth", "1GB",   "--gpu-flops", "1T",       "--max-context",
                 "64",       "--threads",       "1",     "--device",    "cpu"},
       .prepare =
           [](const Workplace& w) {
             write_tokens(w);
             w.folder.write("log.csv",
                            "time_s,prompt_tokens,output_tokens\n0,30,20\n0,20,30\n0.001,8,40\n");
             w.folder.write(
                 "r.toml",
                 fmt::format("[eval]\ntokens = [\"{}\"]\nseq-len = \"64\"\nmax-tokens = \"65\"\n",
                             w.folder / "a.bin"));
           },
       .after_failure = whole,
       .at_the_end =
           [whole](const Workplace& w) {
             whole(w);
             expect_finished_run(w, 3);
             EXPECT_TRUE(path_exists(w.out + "/sweep.toml"));
             EXPECT_TRUE(path_exists(w.out + "/results/sweep.json"));
             EXPECT_TRUE(path_exists(w.out + "/results/replay.json"));
           },
       .in_turn = true,
       .is_walked =
           [](const Call& call) {
             const bool of_run = contains(call.path, "run.json") ||
                                 contains(call.path, "eval.json") ||
                                 contains(call.path, "convert.json");
             return is_of_pipeline(call) && !of_run;
           }},
      20);
}

}  // namespace
}  // namespace regroup::testing
