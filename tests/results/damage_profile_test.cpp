#include "regroup/results/damage_profile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using Edges = std::vector<int64_t>;

TEST(PositionEdges, EndWithTheWindow) {
  EXPECT_EQ(position_edges(1), (Edges{0, 1}));
  EXPECT_EQ(position_edges(16), (Edges{0, 1, 16}));
  EXPECT_EQ(position_edges(17), (Edges{0, 1, 16, 17}));
  EXPECT_EQ(position_edges(512), (Edges{0, 1, 16, 64, 256, 512}));
  EXPECT_EQ(position_edges(8192), (Edges{0, 1, 16, 64, 256, 1024, 4096, 8192}));
}

DamageProfile example() {
  return {
      .positions =
          {{.first = 0, .end = 1, .tokens = 2, .loss_delta = -0.5, .kl = 0.25, .agreement = 0.5},
           {.first = 1, .end = 16, .tokens = 30, .loss_delta = 1.25, .kl = 1, .agreement = 0},
           {.first = 16, .end = 20, .tokens = 8, .loss_delta = 2, .kl = 1, .agreement = 0}},
      .worst = {{.window = 1, .first_token = 20, .loss_before = 3.281, .loss = 15.49},
                {.window = 0, .first_token = 0, .loss_before = 3, .loss = 3.5}},
      .windows = 2,
      .collapsed = 1};
}

TEST(DamageProfile, IsReadAsItWasWritten) {
  const Json json = damage_profile_json(example());
  EXPECT_EQ(json.at("positions")[1].at("end"), 16);
  EXPECT_EQ(json.at("worst_windows")[0].at("loss"), 15.49);
  EXPECT_EQ(damage_profile_json(read_damage_profile(json, "f")), json);
  EXPECT_TRUE(read_damage_profile(Json::object(), "f").positions.empty());
}

TEST(DamageProfile, WhatIsNoNumberStaysNone) {
  DamageProfile profile = example();
  profile.positions[0].kl = std::numeric_limits<double>::infinity();
  const Json json = Json::parse(damage_profile_json(profile).dump());
  EXPECT_TRUE(std::isnan(read_damage_profile(json, "f").positions[0].kl));
}

TEST(DamageProfile, OfTheWrongTypeNamesTheFile) {
  const auto read = [](const char* text) { read_damage_profile(Json::parse(text), "f.json"); };
  expect_error<CheckpointError>("CFG_TYPE", [&] { read(R"({"positions": 3})"); });
  expect_error<CheckpointError>("CFG_TYPE", [&] { read(R"({"worst_windows": [3]})"); });
  expect_error<CheckpointError>("CFG_TYPE", [&] { read(R"({"positions": [{"kl": "much"}]})"); });
}

TEST(DamageLines, SayTheWorstWindowAndTheBands) {
  EXPECT_EQ(
      damage_lines("m", example()),
      "m: worst window 1, from token 20: 3.28 -> 15.49; 1 of 2 collapsed (by more than 2 nats)\n"
      "  loss - before by position: 0 -0.500, 1-15 +1.250, 16+ +2.000\n");
  EXPECT_EQ(damage_lines("m", {}), "");
}

}  // namespace
}  // namespace regroup::testing
