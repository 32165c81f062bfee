// Points of a sweep by hand: which are beaten, and which is enough.
#include "sweep_points.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace regroup::testing {
namespace {

std::string model(const char* role, int heads, const std::string& results) {
  return fmt::format(R"({{"results": {}, "regroup": {{"role": "{}", "n_kv_heads": {},
 "kv_bytes_per_token": {}}}}})",
                     results, role, heads, heads * 100);
}

std::string loss(double delta, double error) {
  return fmt::format(
      R"({{"t": {{"loss,none": 2, "loss_delta,none": {}, "loss_delta_stderr,none": {}}},
 "piqa": {{"acc,none": 0.5}}}})",
      delta, error);
}

std::vector<SweepPoint> points() {
  return read_sweep_points(Json::parse("{\"models\": [" + model("baseline", 8, loss(0, 0)) + "," +
                                       model("converted", 4, loss(0.9, 0.01)) + "," +
                                       model("uptrained", 4, loss(0.1, 0.01)) + "," +
                                       model("converted", 1, loss(0.4, 0.05)) + "," +
                                       model("converted", 2, loss(0.5, 0.01)) + "]}"),
                           "eval.json");
}

TEST(SweepPoints, UptrainedModelsStandForTheirNumberOfHeads) {
  const std::vector<SweepPoint> all = points();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].role, "baseline");
  EXPECT_EQ(all[1].role, "uptrained");
  EXPECT_EQ(all[1].losses[0].value, 0.1);
  EXPECT_EQ(all[3].n_kv_heads, 1);
  EXPECT_EQ(all[3].results["piqa"]["acc,none"], 0.5);
}

// Two heads lose more than one does with half of the cache.
TEST(SweepPoints, WhatIsBeatenIsNotOnTheFront) {
  std::vector<bool> front;
  for (const SweepPoint& point : points()) front.push_back(point.pareto);
  EXPECT_EQ(front, (std::vector<bool>{true, true, false, true}));
}

TEST(SweepPoints, TheUpperEndOfTheIntervalCounts) {
  const std::vector<SweepPoint> all = points();
  // 0.1 + 1.96 * 0.01 = 0.1196; 0.4 + 1.96 * 0.05 = 0.498.
  EXPECT_EQ(smallest_within(all, 0.1), nullptr);
  EXPECT_EQ(smallest_within(all, 0.12)->n_kv_heads, 4);
  EXPECT_EQ(smallest_within(all, 0.45)->n_kv_heads, 4);
  EXPECT_EQ(smallest_within(all, 0.5)->n_kv_heads, 1);
}

TEST(SweepPoints, EveryTextMustBeWithin) {
  const std::string two = R"({"a": {"loss_delta,none": 0.1, "loss_delta_stderr,none": 0},
 "b": {"loss_delta,none": 0.3}})";
  const std::vector<SweepPoint> all =
      read_sweep_points(Json::parse("{\"models\": [" + model("baseline", 8, loss(0, 0)) + "," +
                                    model("converted", 4, two) + "]}"),
                        "eval.json");
  EXPECT_NEAR(all[1].mean_increase(), 0.2, 1e-12);
  EXPECT_EQ(smallest_within(all, 0.2), nullptr);
  EXPECT_EQ(smallest_within(all, 0.3)->n_kv_heads, 4);
}

TEST(SweepPoints, AModelWithoutALossIsAnError) {
  const ErrorInfo error = expect_error<CheckpointError>("SWEEP_RESULTS", [] {
    read_sweep_points(Json::parse("{\"models\": [" + model("converted", 4, "{\"t\": {}}") + "]}"),
                      "eval.json");
  });
  EXPECT_EQ(error.path, "eval.json");
}

}  // namespace
}  // namespace regroup::testing
