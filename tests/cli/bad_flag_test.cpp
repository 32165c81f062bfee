// Flags and arguments that are wrong: what must hold, what was found, in the words of the command.
#include "cli/cli_tools.h"

namespace regroup::testing {
namespace {

struct Wrong {
  Words command;
  const char* message;  // the whole of it
  const char* hint = "--help";
};

void expect_messages(const std::vector<Wrong>& cases, const char* code) {
  const Workplace w;
  w.folder.write("a.txt", "Once.");
  for (const Wrong& c : cases) {
    Words command;
    for (const std::string& word : c.command) command.push_back(resolved(w, word));
    const Json error = mistake(w, command, 2, code);
    EXPECT_EQ(text(error, "message"), c.message);
    EXPECT_TRUE(contains(text(error, "hint"), c.hint));
  }
}

TEST(Values, AreExplained) {
  const Words calibrated = with(kConvert, {"--calibration", "@a.txt"});
  const Words plan = {"plan", "MODEL"};
  const Words uptrain = {"uptrain", "MODEL", "OUT", "--data", "@a.txt"};
  expect_messages(
      {
          {with(calibrated, {"--layer-lr", "fast"}),
           "--layer-lr must be a number from 0 to 1, found fast"},
          {with(calibrated, {"--layer-lr", "nan"}),
           "--layer-lr must be a number from 0 to 1, found nan"},
          {with(calibrated, {"--layer-batch", "1.5"}),
           "--layer-batch must be a whole number from 1 to 1000000, found 1.5"},
          {with(plan, {"--batch", "0"}),
           "--batch must be a whole number from 1 to 16777216, found 0"},
          {with(plan, {"--log-level", "loud"}),
           "--log-level must be error, warn, info or debug, found loud"},
          {with(plan, {"--threads", "-1"}),
           "--threads must be a whole number from 0 to 4096, found -1"},
          {with(plan, {"--seed", "-1"}),
           "--seed must be a whole number from 0 to 18446744073709551615, found -1"},
          {with(plan, {"--max-loss-increase", "x"}),
           "--max-loss-increase must be a number, found x"},
          {with(plan, {"--kv-heads", "two"}), "--kv-heads must be a whole number, found two"},
          {{"convert", "MODEL", "OUT", "--kv-heads", "99999999999999999999"},
           "--kv-heads must be a whole number up to 9223372036854775807, found "
           "99999999999999999999"},
          {{"convert", "MODEL", "OUT", "--kv-heads"},
           "--kv-heads must be followed by its value, found --json"},
          {with(plan, {"--context", "1", "--context", "2"}),
           "--context must be given once, found 2 values"},
          {with(uptrain, {"--lr", "x"}), "--lr must be a number from 1e-12 to 1000, found x"},
          {with(plan, {"--kv-dtype", "fp4"}),
           "--kv-dtype must be one of bf16, f16, f32, fp8, int8, int4, found fp4", "leave it out"},
          {with(plan, {"--weight-dtype", "fp4"}),
           "--weight-dtype must be one of bf16, f16, f32, fp8, int8, int4, found fp4",
           "leave it out"},
          {with(plan, {"--gpu-memory", "80GiB", "--reserve", "90GiB"}),
           "--reserve must be less than --gpu-memory, found 90 GiB of 80 GiB: it leaves "
           "nothing",
           "reserve less"},
          {with(plan, {"--context", "long"}),
           "--context must be a positive number of tokens such as 4096 or 64k (= 65,536), found "
           "\"long\"",
           "write a number"},
          {with(kConvert, {"--max-shard-size", "5XB"}),
           "--max-shard-size must be a positive size such as 80GiB, 1.5GB or 512M, found \"5XB\"",
           "write a number and its unit"},
          {with(uptrain, {"--steps", "1", "--precision", "fp8"}),
           "--precision must be fp32 or bf16, found fp8", "see regroup uptrain --help"},
      },
      "FLAG_VALUE");
}

TEST(Values, ThatAreLeftOut) {
  const Finished run = regroup({"convert", "--kv-heads"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_TRUE(contains(run.err, "--kv-heads must be followed by its value, found none"));
}

TEST(Arguments, AreNamedByTheirPlace) {
  expect_messages({{{"convert"}, "MODEL is required"},
                   {{"convert", "MODEL", "--kv-heads", "2"}, "OUT is required"},
                   {{"tokenize", "MODEL"}, "FILE is required"},
                   {{"eval"}, "MODEL is required"},
                   {{"report"}, "RESULTS is required"},
                   {{"run"}, "RECIPE is required"}},
                  "FLAG_MISSING");
  expect_messages({{with(kConvert, {"extra"}), "unexpected argument extra"}}, "ARGUMENT_UNKNOWN");
  expect_messages({{{"generate", "MODEL"},
                    "give exactly one of --prompt, --prompt-file and --prompt-ids, found none",
                    "for example --prompt"}},
                  "FLAG_MISSING");
}

TEST(Arguments, AnUnknownCommandComesBeforeItsFlags) {
  expect_messages({{{"convrt", "MODEL", "OUT", "--kv-heads", "4"},
                    "unknown command convrt",
                    "did you mean convert?"},
                   {{"help", "convrt"}, "unknown command convrt", "did you mean convert?"}},
                  "COMMAND_UNKNOWN");
  expect_messages({{{"-v"}, "unknown flag -v", "see regroup --help"},
                   {{"-version"}, "unknown flag -version", "did you mean --version?"},
                   {{"plan", "-metod"}, "unknown flag -metod", "see regroup plan --help"}},
                  "FLAG_UNKNOWN");
}

TEST(Help, IsACommandToo) {
  const std::vector<std::pair<Words, Words>> pairs = {{{"help"}, {"--help"}},
                                                      {{"help", "plan"}, {"plan", "--help"}}};
  for (const auto& [command, flag] : pairs) {
    const Finished run = regroup(command);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.out, regroup(flag).out);
  }
  EXPECT_TRUE(contains(regroup({"plan", "--help"}).out, "Usage: regroup plan [OPTIONS] MODEL\n"));
}

// Each says what the thing is that was found, not what some reader of other files makes of it.
TEST(Inputs, OfAnotherKind) {
  const auto text = [](const Workplace& w) {
    w.folder.write("docs.md", std::string(1000, 'x'));
    w.folder.write("docs.json", "{\"a\":\n");
    w.folder.write("a.bin", "x");
  };
  check_all({
      {"a folder for a text",
       text,
       {"eval", "MODEL", "--text", "@model"},
       3,
       "SRC_NOT_REGULAR",
       {"@model", "must be a file, found a folder"}},
      {"tokens for a text",
       text,
       {"eval", "MODEL", "--text", "@a.bin"},
       4,
       "TEXT_KIND",
       {"@a.bin", "give a token file to --tokens"}},
      {"no config",
       {},
       {"plan", "@nosuch"},
       3,
       "CFG_MISSING",
       {"@nosuch", "must exist: a model folder or a config.json", "check the spelling"}},
      {"no results",
       text,
       {"report", "@model", "--out", "@r.html"},
       2,
       "REPORT_INPUT",
       {"@model", "must hold a regroup.json when it is a folder, found none", "give the JSON"}},
      {"a pdf",
       text,
       {"report", "@docs.json", "--out", "@r.pdf"},
       2,
       "FLAG_VALUE",
       {"must end in .html, .md, .json or .csv", "a browser prints it"}},
      {"no statistics",
       text,
       with(kConvert, {"--statistics", "@docs.md"}),
       3,
       "STATS_FORMAT",
       {"@docs.md", "must be a statistics file of regroup, found another kind",
        "--save-statistics"}},
      {"JSON",
       text,
       {"report", "@docs.json", "--out", "@r.html"},
       3,
       "JSON_SYNTAX",
       {"at line 2, column 1: syntax error"}},
      {"no name",
       {},
       {"convert", "", "OUT", "--kv-heads", "2"},
       3,
       "MODEL_MISSING",
       {"MODEL must be a folder", "found an empty name"}},
      {"no name to plan", {}, {"plan", ""}, 3, "CFG_MISSING", {"MODEL must be", "an empty name"}},
  });
}

TEST(Values, NumberOfHeads) {
  const auto heads = [](const char* g) {
    return Words{"convert", "MODEL", "OUT", "--kv-heads", g};
  };
  check_all({
      {"no divisor",
       {},
       heads("3"),
       2,
       "KV_HEADS",
       {"must divide the model's 4 key/value heads, or be a multiple of them that divides its 8 "
        "query heads, found 3",
        "choose one of 1, 2, 4 to merge heads, or of 8 to repeat them"}},
      {"no multiple",
       {},
       heads("6"),
       2,
       "KV_HEADS",
       {"or be a multiple of them that divides its 8 query heads, found 6",
        "choose one of 1, 2, 4 to merge heads, or of 8 to repeat them"}},
      {"more than there are query heads", {}, heads("16"), 2, "KV_HEADS", {"found 16"}},
      {"more, measured",
       {[](const Workplace& w) { w.folder.write("t.txt", "Tom"); }},
       {"compare", "MODEL", "--kv-heads", "8", "--methods", "mean", "--text", "@t.txt"},
       2,
       "KV_HEADS",
       {"must not exceed the model's 4 key/value heads, found 8"}},
      {"none", {}, heads("0"), 2, "KV_HEADS", {"found 0", "choose one of 1, 2, 4"}},
      {"a word", {}, heads("two"), 2, "FLAG_VALUE", {"--kv-heads", "two"}},
      {"several",
       {},
       heads("2,1"),
       2,
       "KV_HEADS",
       {"must be one number, found 2, 1", "regroup run"}},
      {"left out", {}, {"convert", "MODEL", "OUT"}, 2, "FLAG_MISSING", {"--kv-heads is required"}},
      {"in a plan", {}, {"plan", "MODEL", "--kv-heads", "3"}, 2, "KV_HEADS", {"found 3"}},
      {"devices that heads are not divided by",
       {},
       {"plan", "MODEL", "--tp", "3"},
       2,
       "FLAG_VALUE",
       {"--tp must divide the model's 8 query heads, found 3", "choose one of 1, 2, 4, 8"}},
  });
}

}  // namespace
}  // namespace regroup::testing
