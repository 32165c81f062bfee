// Speeds as `bench` writes them down: quantiles by hand, speed-ups, and what is read back.
#include "regroup/results/speed.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/expect_error.h"

namespace regroup::testing {
namespace {

SpeedRun run_at(int64_t n_kv_heads, int64_t batch, int64_t context, double median,
                double roofline) {
  SpeedRun run;
  run.model = "m" + std::to_string(n_kv_heads);
  run.n_kv_heads = n_kv_heads;
  run.batch = batch;
  run.context = context;
  run.decode = {.median = median, .p10 = median / 2, .p90 = median * 2};
  run.roofline_tokens_per_s = roofline;
  return run;
}

SpeedReport report_of_two() {
  SpeedReport report{.device = "cpu", .processor = "a processor", .dtype = "f32", .version = "1"};
  report.threads = 2;
  report.new_tokens = 64;
  report.repetitions = 5;
  report.copy_bytes_per_s = 2e10;
  report.read_bytes_per_s = 3e10;
  report.flops_per_s = 1e11;
  report.runs = {run_at(8, 1, 512, 10, 20), run_at(2, 1, 512, 15, 40)};
  report.runs[0].prefill_tokens_per_s = 1234.5;
  report.runs[0].kv_bytes_computed = report.runs[0].kv_bytes_measured = int64_t{1} << 40;
  report.runs[0].step_s = {0.1, 0.2};
  report.runs[1].memory_bound = false;
  compare_speeds(report.runs);
  return report;
}

// 1, 2, 3, 4, 5 s: a tenth lies at 1.4 s, nine tenths at 4.6 s.
TEST(Speed, RatesAreQuantilesOfSteps) {
  const DecodeRate rate = decode_rate({5, 1, 4, 2, 3}, 6);
  EXPECT_DOUBLE_EQ(rate.median, 6.0 / 3);
  EXPECT_DOUBLE_EQ(rate.p10, 6.0 / 4.6);
  EXPECT_DOUBLE_EQ(rate.p90, 6.0 / 1.4);
  EXPECT_DOUBLE_EQ(decode_rate({0.5}, 1).p10, 2);
}

TEST(Speed, ComparedWithTheMostKvHeadsAtTheSamePoint) {
  std::vector<SpeedRun> runs = {run_at(2, 1, 512, 15, 40), run_at(8, 1, 512, 10, 20),
                                run_at(2, 4, 512, 90, 90), run_at(8, 4, 512, 60, 30),
                                run_at(2, 1, 99, 7, 7)};
  compare_speeds(runs);
  ASSERT_TRUE(runs[0].speed_up.has_value());
  EXPECT_EQ(runs[0].speed_up->over, "m8");
  EXPECT_DOUBLE_EQ(runs[0].speed_up->measured, 1.5);
  EXPECT_DOUBLE_EQ(runs[0].speed_up->predicted, 2);
  EXPECT_FALSE(runs[1].speed_up.has_value());
  EXPECT_DOUBLE_EQ(runs[2].speed_up->measured, 1.5);
  EXPECT_DOUBLE_EQ(runs[2].speed_up->predicted, 3);
  EXPECT_FALSE(runs[4].speed_up.has_value()) << "nothing else was measured there";
}

TEST(Speed, ComparedWithItsOwnModelFirst) {
  std::vector<SpeedRun> runs = {run_at(8, 1, 512, 10, 20), run_at(8, 1, 512, 30, 20),
                                run_at(2, 1, 512, 60, 40), run_at(4, 1, 512, 45, 40)};
  for (size_t i = 0; i < 4; ++i) runs[i].model = i == 0 ? "a" : "b";
  runs[3].model = "c";
  compare_speeds(runs);
  EXPECT_EQ(runs[2].speed_up->over, "b");
  EXPECT_DOUBLE_EQ(runs[2].speed_up->measured, 2);
  EXPECT_EQ(runs[3].speed_up->over, "a") << "it has no run with more heads";
}

TEST(Speed, IsReadBackAsItWasWritten) {
  const Json json = speed_json(report_of_two());
  EXPECT_EQ(json.at("format"), "regroup bench/1");
  const SpeedReport read = read_speed(json, "bench.json");
  Json again = speed_json(read);
  for (size_t i = 0; i < 2; ++i) again["runs"][i]["step_s"] = json["runs"][i]["step_s"];
  EXPECT_EQ(again, json) << "all but the single steps";
  EXPECT_EQ(json["runs"][1]["bound"], "compute");
  EXPECT_TRUE(json["runs"][1]["prefill_tokens_per_s"].is_null());
}

TEST(Speed, AFileOfTheWrongTypeNamesTheKey) {
  const Json good = speed_json(report_of_two());
  struct Change {
    const char* place;
    Json value;
    const char* code;
    const char* named;
  };
  const Change changes[] = {
      {"/machine", 3, "CFG_TYPE", "machine"},
      {"/machine/copy_bytes_per_s", "fast", "CFG_TYPE", "copy_bytes_per_s"},
      {"/runs", Json::object(), "CFG_TYPE", "runs"},
      {"/runs/0", 7, "CFG_TYPE", "runs"},
      {"/runs/0/batch", -1, "CFG_RANGE", "batch"},
      {"/runs/0/n_kv_heads", "8", "CFG_TYPE", "n_kv_heads"},
      {"/runs/0/decode_tokens_per_s", nullptr, "CFG_TYPE", "decode_tokens_per_s"},
      {"/runs/0/decode_tokens_per_s/median", Json::array(), "CFG_TYPE", "median"},
      {"/runs/1/speed_up", 2, "CFG_TYPE", "speed_up"},
      {"/runs/1/speed_up/measured", -2, "CFG_TYPE", "measured"},
  };
  for (const Change& change : changes) {
    SCOPED_TRACE(change.place);
    Json bad = good;
    bad[Json::json_pointer(change.place)] = change.value;
    const ErrorInfo error = expect_error(change.code, [&] { read_speed(bad, "bench.json"); });
    EXPECT_TRUE(contains(error.message, change.named));
    EXPECT_TRUE(contains(error.message, "bench.json"));
  }
}

}  // namespace
}  // namespace regroup::testing
