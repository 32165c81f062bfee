// Calls of compare, eval, replay and bench fail: files of results, of samples, and those of lm-evaluation-harness.
#include <filesystem>

#include "cli/failing_calls.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

void expect_all_conversions(const Workplace& w) {
  const Json damage = expect_object(w.folder / "damage.json");
  if (!damage.is_null()) {
    EXPECT_EQ(damage["damage"].size(), 2U);
  }
}

TEST(FailingOutputs, Compare) {
  walk_all({.words = {"compare",
                      "MODEL",
                      "--methods",
                      "mean",
                      "--kv-heads",
                      "2,1",
                      "--text",
                      "@a.bin",
                      "--seq-len",
                      "32",
                      "--max-tokens",
                      "100",
                      "--calibration",
                      "@a.bin",
                      "--calibration-tokens",
                      "128",
                      "--calibration-seq-len",
                      "32",
                      "--layer-steps",
                      "1",
                      "--scratch",
                      "@scratch",
                      "--out",
                      "@damage.json",
                      "--threads",
                      "1",
                      "--device",
                      "cpu"},
            .prepare =
                [](const Workplace& w) {
                  write_tokens(w);
                  fs::create_directory(w.folder / "scratch");
                },
            .after_failure = expect_all_conversions,
            .at_the_end =
                [](const Workplace& w) {
                  ASSERT_TRUE(path_exists(w.folder / "damage.json"));
                  expect_all_conversions(w);
                },
            .in_turn = true,
            .is_walked =
                [](const Call& call) {  // failing_calls_test.cpp does the same to a conversion's
                  return !contains(call.path, ".safetensors") && !contains(call.path, "end-to-end");
                }},
           10);
}

/// Names in `folder` that begin with `front`, from the date on.
std::vector<std::string> dates(const std::string& folder, const std::string& front) {
  std::vector<std::string> all;
  if (!fs::is_directory(folder)) return all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(front) || contains(name, ".tmp")) continue;
    all.push_back(name.substr(front.size(), name.rfind('.') - front.size()));
  }
  std::sort(all.begin(), all.end());
  return all;
}

/// Samples, and what the harness reads: the samples of a run beside its results, or neither.
void expect_whole_answers(const Workplace& w) {
  expect_object(w.folder / "r.json");
  if (path_exists(w.folder / "s.jsonl")) {
    const std::string lines = read_file(w.folder / "s.jsonl");
    EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 6);
  }
  EXPECT_EQ(dates(w.folder / "harness", "samples_q_"), dates(w.folder / "harness", "results_"));
}

TEST(FailingOutputs, EvalSamplesAndHarnessFiles) {
  if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  walk_all({.words = {"eval",          "@m",       "--task",      "@q.jsonl",
                      "--tokens",      "@a.bin",   "--seq-len",   "64",
                      "--max-tokens",  "65",       "--samples",   "@s.jsonl",
                      "--harness-out", "@harness", "--token-nll", "@nll.safetensors",
                      "--out",         "@r.json",  "--threads",   "1",
                      "--device",      "cpu"},
            .prepare =
                [](const Workplace& w) {
                  write_tokens(w);
                  write_tiny_model(w.folder / "m", {.n_layers = 1, .vocab_size = 512});
                  fs::copy_file(kTokenizer, w.folder / "m/tokenizer.model");
                  std::string records;
                  for (int i = 0; i < 6; ++i) {
                    records += fmt::format(
                        "{{\"context\": \"Tom has {} kites and\", \"choices\": [\"one ball.\", "
                        "\"no dog.\"], \"gold\": {}}}\n",
                        i, i % 2);
                  }
                  w.folder.write("q.jsonl", records);
                },
            .after_failure = expect_whole_answers,
            .at_the_end =
                [](const Workplace& w) {
                  expect_whole_answers(w);
                  for (const char* name : {"r.json", "s.jsonl", "nll.safetensors"}) {
                    EXPECT_TRUE(path_exists(w.folder / name)) << name;
                  }
                  EXPECT_FALSE(dates(w.folder / "harness", "results_").empty());
                  EXPECT_FALSE(path_exists(w.folder / "r.json.partial"));
                },
            .in_turn = true},
           20);
}

TEST(FailingOutputs, Replay) {
  const auto whole = [](const Workplace& w) {
    const Json replay = expect_object(w.folder / "replay.json");
    if (!replay.is_null()) {
      EXPECT_EQ(replay["options"].size(), 2U);
    }
    if (path_exists(w.folder / "kept.csv")) {
      const std::string lines = read_file(w.folder / "kept.csv");
      EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 4);  // a header and three requests
    }
  };
  walk_all({.words = {"replay", "MODEL", "--trace", "@log.csv", "--kv-heads", "2,1", "--gpu-memory",
                      "1MiB", "--gpu-bandwidth", "1GB", "--gpu-flops", "1T", "--max-context", "64",
                      "--save-trace", "@kept.csv", "--out", "@replay.json"},
            .prepare =
                [](const Workplace& w) {
                  w.folder.write(
                      "log.csv",
                      "time_s,prompt_tokens,output_tokens\n0,30,20\n0,20,30\n0.001,8,40\n");
                },
            .after_failure = whole,
            .at_the_end =
                [whole](const Workplace& w) {
                  whole(w);
                  EXPECT_TRUE(path_exists(w.folder / "replay.json"));
                  EXPECT_TRUE(path_exists(w.folder / "kept.csv"));
                }},
           8);
}

TEST(FailingOutputs, BenchOverAnOlderFile) {
  const auto whole = [](const Workplace& w, bool may_be_old) {
    const std::string text = read_file(w.folder / "bench.json");
    if (may_be_old && text == "{}") return;
    EXPECT_EQ(Json::parse(text)["runs"].size(), 1U);
  };
  walk_all({.words = {"bench", "MODEL", "--batch", "1", "--context", "8", "--new-tokens", "1",
                      "--repetitions", "1", "--no-prefill", "--out", "@bench.json", "--threads",
                      "1", "--device", "cpu"},
            .prepare = [](const Workplace& w) { w.folder.write("bench.json", "{}"); },
            .after_failure = [whole](const Workplace& w) { whole(w, true); },
            .at_the_end = [whole](const Workplace& w) { whole(w, false); },
            .in_turn = true},
           4);
}

}  // namespace
}  // namespace regroup::testing
