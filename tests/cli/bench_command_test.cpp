// bench, as a user and a script see it.
#include "cli_tools.h"
#include "regroup/base/input_file.h"

namespace regroup::testing {
namespace {

Words bench_words(const Workplace& w, const Words& more) {
  Words words = {"bench",        w.model, "--batch",       "1,2", "--context", "16,32",
                 "--new-tokens", "3",     "--repetitions", "2",   "--threads", "1"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(Bench, EveryPointOfEveryModelIsMeasured) {
  const Workplace w;
  const Finished run = regroup(bench_words(w, {"--kv-heads", "4,1", "--json"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json result = Json::parse(run.out);
  ASSERT_EQ(result["runs"].size(), 8U);
  for (const Json& point : result["runs"]) {
    // The contract of CLI.md.
    EXPECT_EQ(point["model"], w.model);
    for (const char* key : {"n_kv_heads", "batch", "context", "prefill_tokens_per_s",
                            "kv_bytes_computed", "kv_bytes_measured", "bandwidth_fraction"}) {
      EXPECT_TRUE(point[key].is_number()) << key;
    }
    const Json& rate = point["decode_tokens_per_s"];
    EXPECT_LE(rate["p10"], rate["median"]);
    EXPECT_LE(rate["median"], rate["p90"]);
    EXPECT_TRUE(point["bound"] == "memory" || point["bound"] == "compute");
    EXPECT_EQ(point["step_s"].size(), 6U);
    // 1 layer of key and value, head_dim 4, float32.
    const int64_t tokens = point["batch"].get<int64_t>() * (point["context"].get<int64_t>() + 3);
    EXPECT_EQ(point["kv_bytes_measured"], tokens * point["n_kv_heads"].get<int64_t>() * 2 * 4 * 4);
    EXPECT_EQ(point["kv_bytes_measured"], point["kv_bytes_computed"]);
    EXPECT_EQ(point["speed_up"].is_null(), point["n_kv_heads"] == 4);
  }
  EXPECT_GT(result["machine"]["copy_bytes_per_s"], 0);
  EXPECT_EQ(result["machine"]["threads"], 1);
}

TEST(Bench, PeopleSeeATableAndReportReadsTheFile) {
  const Workplace w;
  const std::string results = w.folder / "bench.json";
  const Finished run =
      regroup(bench_words(w, {"--kv-heads", "2", "--no-prefill", "--out", results}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  for (const char* part : {"KV heads", "decode/s", "bandwidth", "measured here", "memory"}) {
    EXPECT_TRUE(contains(run.out, part));
  }
  EXPECT_TRUE(contains(run.err, "about")) << "how long it takes, beforehand";
  const std::pair<const char*, const char*> forms[] = {
      {"r.html", "Decoding at a batch of 2"},
      {"r.md", "## Speed"},
      {"r.csv", "roofline_tokens_per_s"},
      {"r.json", "roofline_tokens_per_s"},
  };
  for (const auto& [name, part] : forms) {
    const Finished report = regroup({"report", results, "--out", w.folder / name});
    ASSERT_EQ(report.exit_code, 0) << report.err;
    EXPECT_TRUE(contains(InputFile(w.folder / name).read_all(), part)) << name;
  }
}

TEST(Bench, MistakesAreToldBeforeAnythingIsMeasured) {
  const Workplace w;
  write_file(w.folder / "file", "x");
  mistake(w, bench_words(w, {"--kv-heads", "3"}), 2, "KV_HEADS");
  mistake(w, bench_words(w, {"--context", "0"}), 2, "FLAG_VALUE");
  mistake(w, bench_words(w, {"--batch", "0"}), 2, "FLAG_VALUE");
  mistake(w, bench_words(w, {"--repetitions", "many"}), 2, "FLAG_VALUE");
  mistake(w, bench_words(w, {"--dtype", "fp4"}), 2, "FLAG_VALUE");
  mistake(w, bench_words(w, {"--out", w.model}), 2, "OUTPUT_NOT_FILE");
  mistake(w, bench_words(w, {"--out", w.folder / "nowhere/bench.json"}), 2, "OUTPUT_PARENT");
  mistake(w, {"bench", w.folder / "nothing"}, 3, "MODEL_MISSING");
  const Json error =
      mistake(w, {"bench", w.model, "--batch", "100000", "--context", "100M"}, 2, "NO_MEMORY");
  EXPECT_TRUE(contains(text(error, "hint"), "--context"));
}

}  // namespace
}  // namespace regroup::testing
