// Wrong input to a conversion that works with text: exit code, stable code, words, nothing written.
#include <filesystem>

#include "cli/cli_tools.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

Words calibrated(const Words& more) {
  return with({"convert", "MODEL", "OUT", "--kv-heads", "2"}, more);
}

void write_tokens(const Workplace& w, int64_t count, int32_t id) {
  TokenFileWriter writer(w.folder / "a.bin", 1000);
  writer.add(std::vector<int32_t>(static_cast<size_t>(count), id));
  writer.finish();
}

const auto kTokens = [](const Workplace& w) { write_tokens(w, 4096, 3); };

TEST(BadInput, Calibration) {
  check_all({
      {"no such text", {}, calibrated({"--calibration", "@a.bin"}), 3, "IO_READ_ERROR", {"@a.bin"}},
      {"too little",
       [](const Workplace& w) { write_tokens(w, 100, 3); },
       calibrated({"--calibration", "@a.bin", "--calibration-seq-len", "64"}),
       3,
       "TEXT_TOO_SHORT",
       {"@a.bin", "at least 128 tokens", "found 100 tokens", "--calibration-tokens"}},
      {"ids beyond the vocabulary",
       [](const Workplace& w) { write_tokens(w, 4096, 999); },
       calibrated({"--calibration", "@a.bin"}),
       3,
       "TOKENS_RANGE",
       {"@a.bin", "999"}},
      {"windows the model does not know",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--calibration-seq-len", "129"}),
       2,
       "FLAG_VALUE",
       {"--calibration-seq-len", "at most 128", "found 129"}},
      {"no scratch folder",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--scratch", "@nosuch"}),
       2,
       "OUTPUT_PARENT",
       {"--scratch must be a folder", "@nosuch"}},
      {"no folder for the statistics",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--save-statistics", "@nosuch/s"}),
       2,
       "OUTPUT_PARENT",
       {"--save-statistics", "@nosuch/s"}},
      {"a gain of another method",
       {},
       calibrated({"--method", "mean", "--output-gain", "on"}),
       2,
       "METHOD_COMBINATION",
       {"--output-gain", "--method pca", "found --method mean"}},
      {"a gain that is neither",
       {},
       calibrated({"--logit-gain", "maybe"}),
       2,
       "FLAG_VALUE",
       {"--logit-gain must be one of auto, on, off", "found maybe"}},
      {"an output gain that is neither",
       {},
       calibrated({"--output-gain", "offf"}),
       2,
       "FLAG_VALUE",
       {"--output-gain must be one of auto, on, off", "did you mean off?"}},
      {"a method that draws",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--method", "random"}),
       2,
       "METHOD_COMBINATION",
       {"random", "leave out --calibration"}},
      {"text and statistics",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--statistics", "@a.bin"}),
       2,
       "METHOD_COMBINATION",
       {"--statistics", "--calibration"}},
      {"no statistics at all",
       [](const Workplace& w) { w.folder.write("s", std::string("\2\0\0\0\0\0\0\0{}", 10)); },
       calibrated({"--statistics", "@s"}),
       3,
       "STATS_FORMAT",
       {"@s", "--save-statistics"}},
      {"steps without text",
       {},
       calibrated({"--layer-steps", "5"}),
       2,
       "FLAG_MISSING",
       {"--layer-steps", "found no --calibration"}},
      {"first tokens without text",
       {},
       calibrated({"--calibration-first-tokens", "5"}),
       2,
       "FLAG_MISSING",
       {"--calibration-first-tokens", "found no --calibration"}},
      {"neither on nor off",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--refit-output", "maybe"}),
       2,
       "FLAG_VALUE",
       {"--refit-output must be on or off", "found maybe"}},
      {"a budget that is no time and no share",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--calibration-budget", "10 apples"}),
       2,
       "FLAG_VALUE",
       {"--calibration-budget", "90s, 10min or 1.5h", "10 apples",
        "or a share of --pretraining-tokens, such as 1%"}},
      {"a share of nothing",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--calibration-budget", "1%"}),
       2,
       "FLAG_MISSING",
       {"--calibration-budget", "--pretraining-tokens N"}},
      {"more than everything",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--calibration-budget", "101%",
                   "--pretraining-tokens", "1M"}),
       2,
       "FLAG_VALUE",
       {"--calibration-budget", "found 101%"}},
      {"tokens that nothing is a share of",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--pretraining-tokens", "1M"}),
       2,
       "FLAG_MISSING",
       {"--pretraining-tokens", "--calibration-budget 1%"}},
      {"a budget with nothing to decide",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--calibration-budget", "1min",
                   "--calibration-tokens", "4k", "--layer-steps", "3"}),
       2,
       "METHOD_COMBINATION",
       {"--calibration-budget", "--calibration-tokens", "--layer-steps"}},
      {"a budget without text",
       {},
       calibrated({"--calibration-budget", "1min"}),
       2,
       "FLAG_MISSING",
       {"--calibration-budget", "found no --calibration"}},
      {"a budget of next to nothing",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--calibration-budget", "0.000001%",
                   "--pretraining-tokens", "1"}),
       2,
       "CALIBRATION_BUDGET",
       {"at least what the smallest calibration of this model takes", "FLOPs"}},
      {"own text beside a file",
       kTokens,
       calibrated({"--calibration", "self", "@a.bin"}),
       2,
       "METHOD_COMBINATION",
       {"--calibration self stands alone", "./self"}},
      {"a field of text that the model writes",
       {},
       calibrated({"--calibration", "self", "--field", "story"}),
       2,
       "METHOD_COMBINATION",
       {"--field needs a file to read, found --calibration self", "./self"}},
      {"a separator of text that the model writes",
       {},
       calibrated({"--calibration", "self", "--document-separator", "|"}),
       2,
       "METHOD_COMBINATION",
       {"--document-separator needs a file", "./self"}},
      {"windows of one token",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--calibration-seq-len", "1"}),
       2,
       "FLAG_VALUE",
       {"--calibration-seq-len must be at least 2, found 1"}},
      {"all layers together without text",
       {},
       calibrated({"--distill-steps", "5"}),
       2,
       "FLAG_MISSING",
       {"--distill-steps", "found no --calibration"}},
      {"a batch of nothing",
       kTokens,
       calibrated({"--calibration", "@a.bin", "--layer-batch", "0"}),
       2,
       "FLAG_VALUE",
       {"--layer-batch", "0"}},
  });
}

// A refused text leaves nothing behind that a corrected command would stumble over.
TEST(Calibration, TheCorrectedCommandRuns) {
  const Workplace w;
  write_tokens(w, 4096, 3);
  const Words wrong = {"convert",       w.model,           w.out, "--kv-heads", "2",
                       "--calibration", w.folder / "b.bin"};
  EXPECT_EQ(regroup(wrong).exit_code, 3);
  const Finished right =
      regroup({"convert", w.model, w.out, "--kv-heads", "2", "--calibration", w.folder / "a.bin",
               "--layer-steps", "2", "--device", "cpu", "--threads", "1"});
  EXPECT_EQ(right.exit_code, 0) << right.err;
}

// The model writes its own text; what its held-out windows lost is said, and machine-readable.
TEST(Calibration, OwnTextAndWhatCameOfIt) {
  const Workplace w;
  Words command = {"convert", w.model,         w.out,  "--kv-heads",
                   "2",       "--calibration", "self", "--calibration-tokens",
                   "2k",      "--layer-steps", "2",    "--distill-steps",
                   "2",       "--device",      "cpu",  "--threads",
                   "1"};
  const Finished said = regroup(command);
  EXPECT_EQ(said.exit_code, 0) << said.err;
  EXPECT_TRUE(contains(said.out, " held-out windows: loss ")) << said.out;
  command.insert(command.end(), {"--overwrite", "--json"});
  const Json json = Json::parse(regroup(command).out);
  const Json& held_out = json.at("calibration").at("held_out");
  EXPECT_GT(held_out.at("windows").get<int64_t>(), 0);
  EXPECT_GE(held_out.at("kl").get<double>(), 0);
  EXPECT_EQ(held_out.at("collapsed_windows").get<int64_t>(), 0);
}

// What counts are the tokens there are, not the most that may be used.
TEST(Calibration, SaysWhenTheMemoryIsNotThere) {
  const Workplace w;
  write_tokens(w, 4096, 3);
  const Words plan = {"convert",
                      w.model,
                      w.out,
                      "--kv-heads",
                      "2",
                      "--dry-run",
                      "--calibration",
                      w.folder / "a.bin",
                      "--calibration-tokens",
                      "1000000000000"};
  const Finished fits = regroup(plan);
  EXPECT_EQ(fits.exit_code, 0) << fits.err;
  EXPECT_EQ(fits.err.find("of memory"), std::string::npos) << fits.err;
  std::filesystem::resize_file(w.folder / "a.bin", std::uintmax_t{1} << 42);  // a hole, no blocks
  const Finished large = regroup(plan);
  EXPECT_EQ(large.exit_code, 0) << large.err;
  EXPECT_TRUE(contains(large.err, "warning: calibration needs about "));
  EXPECT_TRUE(contains(large.err, "give --scratch FOLDER, or use fewer --calibration-tokens"));
}

// What the real run finds wrong at once, the dry run finds too.
TEST(Calibration, ADryRunLooksAtItsText) {
  const Workplace w;
  for (const std::string& text : {w.folder / "nowhere.txt", w.folder / "nowhere.bin",
                                  w.folder.write("empty.txt", ""), std::string(w.folder / "")}) {
    Words words = {"convert", w.model, w.out, "--kv-heads", "2", "--calibration", text};
    const Finished real = regroup(words);
    words.push_back("--dry-run");
    const Finished dry = regroup(words);
    EXPECT_NE(real.exit_code, 0) << text;
    EXPECT_EQ(dry.exit_code, real.exit_code) << text;
    const auto error = [](const Finished& run) { return run.err.substr(run.err.find("error[")); };
    EXPECT_EQ(error(dry), error(real));
  }
}

}  // namespace
}  // namespace regroup::testing
