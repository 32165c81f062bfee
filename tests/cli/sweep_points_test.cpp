// Points of a sweep by hand: which are beaten, and which is enough.
#include "sweep_points.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "tolerances.h"

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

std::vector<SweepPoint> points_of(const std::vector<std::string>& models) {
  Json json = {{"models", Json::array()}};
  for (const std::string& one : models) json["models"].push_back(Json::parse(one));
  return read_sweep_points(read_evaluation(json, "eval.json"), "eval.json");
}

std::vector<SweepPoint> points() {
  return points_of({model("baseline", 8, loss(0, 0)), model("converted", 4, loss(0.9, 0.01)),
                    model("uptrained", 4, loss(0.1, 0.01)), model("converted", 1, loss(0.4, 0.05)),
                    model("converted", 2, loss(0.5, 0.01))});
}

TEST(SweepPoints, UptrainedModelsStandForTheirNumberOfHeads) {
  const std::vector<SweepPoint> all = points();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].role, "baseline");
  EXPECT_EQ(all[1].role, "uptrained");
  EXPECT_EQ(all[1].losses[0].value, 0.1);
  EXPECT_EQ(all[3].n_kv_heads, 1);
  EXPECT_EQ(all[3].result.tasks.at(0).metrics.at(0).value, 0.5);
}

// Two heads lose more than one does with half of the cache.
TEST(SweepPoints, WhatIsBeatenIsNotOnTheFront) {
  std::vector<bool> front;
  for (const SweepPoint& point : points()) front.push_back(point.pareto);
  EXPECT_EQ(front, (std::vector<bool>{true, true, false, true}));
}

/// The number of KV heads that is enough for a tolerance of the loss; 0: none.
int64_t enough(std::vector<SweepPoint> all, double tolerance) {
  check_tolerances(parse_tolerances({.loss = tolerance}, {}, {}), "eval.json", all);
  const SweepPoint* chosen = smallest_within(all);
  return chosen == nullptr ? 0 : chosen->n_kv_heads;
}

TEST(SweepPoints, TheUpperEndOfTheIntervalCounts) {
  // 0.1 + 1.96 * 0.01 = 0.1196; 0.4 + 1.96 * 0.05 = 0.498.
  EXPECT_EQ(enough(points(), 0.1), 0);
  EXPECT_EQ(enough(points(), 0.12), 4);
  EXPECT_EQ(enough(points(), 0.45), 4);
  EXPECT_EQ(enough(points(), 0.5), 1);
}

TEST(SweepPoints, EveryTextMustBeWithin) {
  const std::string two =
      R"({"a": {"loss,none": 2, "loss_delta,none": 0.1, "loss_delta_stderr,none": 0.03},
 "b": {"loss,none": 2, "loss_delta,none": 0.3, "loss_delta_stderr,none": 0.04}})";
  const std::vector<SweepPoint> all =
      points_of({model("baseline", 8, loss(0, 0)), model("converted", 4, two)});
  EXPECT_NEAR(all[1].mean_increase(), 0.2, 1e-12);
  EXPECT_NEAR(all[1].mean_error(), 0.025, 1e-12);  // sqrt(0.03^2 + 0.04^2) / 2
  EXPECT_EQ(enough(all, 0.378), 0);                // 0.3 + 1.96 * 0.04 = 0.3784
  EXPECT_EQ(enough(all, 0.379), 4);
}

// By cost: 4 heads cost 3 and lose 0.1, one head costs 3 too and loses 0.4, 2 heads cost 2 and lose 0.5; the parent has no
// traffic.
TEST(SweepPoints, TheFrontByCostIsAnotherOne) {
  std::vector<SweepPoint> all = points();
  all[1].traffic = {{"cost_per_million_tokens", 3}, {"device_hours_per_million_tokens", 9}};
  all[2].traffic = {{"device_hours_per_million_tokens", 2}};
  all[3].traffic = {{"cost_per_million_tokens", 3}};
  mark_pareto(all);
  std::vector<bool> front;
  for (const SweepPoint& point : all) front.push_back(point.pareto_cost);
  EXPECT_EQ(front, (std::vector<bool>{false, true, true, false}));
  EXPECT_EQ(all[2].cost(), 2);
  EXPECT_FALSE(all[0].cost());
}

TEST(SweepPoints, AModelWithoutALossIsAnError) {
  const ErrorInfo error = expect_error<CheckpointError>(
      "SWEEP_RESULTS", [] { points_of({model("converted", 4, "{\"t\": {}}")}); });
  EXPECT_EQ(error.path, "eval.json");
}

}  // namespace
}  // namespace regroup::testing
