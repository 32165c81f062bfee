#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "oracles/oracle.h"
#include "regroup/uptrain/metrics.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

TEST(TensorBoard, ItsOwnReaderFindsWhatWasWritten) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder folder;
  {
    TensorBoardWriter board(folder / "events", 1);
    for (int64_t step = 1; step <= 300; ++step) {  // 128 and above take two bytes
      board.scalar("train/loss", 5.0 / static_cast<double>(step), step);
    }
    board.scalar("valid/loss", -0.0, int64_t{1} << 40);
    board.scalar("train/lr", 1e-30, 7);
  }
  const Json answer = ask_oracle("tensorboard_events.py", folder, Json::object());
  ASSERT_TRUE(answer.is_object());
  ASSERT_EQ(answer.size(), 3u);
  ASSERT_EQ(answer.at("train/loss").size(), 300u);
  for (int64_t step = 1; step <= 300; ++step) {
    const Json& point = answer["train/loss"][static_cast<size_t>(step - 1)];
    EXPECT_EQ(point[0], step);
    // A scalar of an event is a float.
    EXPECT_EQ(point[1].get<double>(), static_cast<float>(5.0 / static_cast<double>(step)));
  }
  EXPECT_EQ(answer["valid/loss"], Json::parse("[[1099511627776, -0.0]]"));
  EXPECT_EQ(answer["train/lr"][0][1].get<double>(), static_cast<float>(1e-30));
}

// Steps 1 to 5, killed; the checkpoint was of step 3, so the next process makes 4 again. 4 and 5 of
// the first one go, 3 stays.
TEST(TensorBoard, AResumedRunReplacesWhatComesAgain) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder folder;
  {
    TensorBoardWriter first(folder / "events", 1);
    for (int64_t step = 1; step <= 5; ++step) first.scalar("loss", 1, step);
  }
  {
    TensorBoardWriter second(folder / "events", 4);
    second.scalar("loss", 2, 4);
  }
  const Json answer = ask_oracle("tensorboard_events.py", folder, Json::object());
  EXPECT_EQ(answer.at("loss"), Json::parse("[[1, 1.0], [2, 1.0], [3, 1.0], [4, 2.0]]"));
}

TEST(Metrics, NumbersReadBackExactly) {
  const TemporaryFolder folder;
  const double numbers[] = {0.1, 1.0 / 3, 1e-300, 6.02214076e23, std::nextafter(2.0, 3.0), 0.0};
  {
    MetricsFile metrics(folder / "metrics.jsonl", 0);
    for (size_t i = 0; i < std::size(numbers); ++i) {
      metrics.step({.step = static_cast<int64_t>(i) + 1,
                    .tokens = int64_t{1} << 60,
                    .loss = numbers[i],
                    .learning_rate = numbers[i],
                    .grad_norm = numbers[i],
                    .tokens_per_s = 1,
                    .step_s = 1,
                    .val_loss = numbers[i]});
    }
  }
  std::istringstream text(read_file(folder / "metrics.jsonl"));
  std::string line;
  for (size_t i = 0; i < std::size(numbers); ++i) {
    ASSERT_TRUE(std::getline(text, line));
    const Json object = Json::parse(line);
    EXPECT_EQ(object.at("step"), i + 1);
    EXPECT_EQ(object.at("tokens"), int64_t{1} << 60);
    for (const char* key : {"loss", "lr", "grad_norm", "val_loss"}) {
      EXPECT_EQ(object.at(key).get<double>(), numbers[i]) << key;
    }
  }
  EXPECT_FALSE(std::getline(text, line));
}

TEST(Metrics, TornLineAndStepsThatComeAgainAreCut) {
  const TemporaryFolder folder;
  const std::string kept =
      "{\"event\":\"start\",\"step\":0}\n{\"step\":1,\"loss\":2.5}\n{\"event\":\"checkpoint\","
      "\"step\":1}\n";
  const std::string path =
      folder.write("metrics.jsonl", kept + "{\"step\":2,\"loss\":2.25}\n{\"step\":3,\"lo");
  { MetricsFile metrics(path, 1); }
  EXPECT_EQ(read_file(path), kept);
  {
    MetricsFile metrics(path, 1);
    metrics.event("resume", 1, {{"why", "a test"}});
  }
  EXPECT_EQ(read_file(path), kept + "{\"event\":\"resume\",\"step\":1,\"why\":\"a test\"}\n");
}

}  // namespace
}  // namespace regroup::testing
