// How long work is said to take, and that a log gets to know it.
#include "progress.h"

#include "cli/cli_tools.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

TEST(TimeLeft, IsTheForecastUntilTheClockKnowsBetter) {
  EXPECT_DOUBLE_EQ(time_left(0, 100, 0), 100);
  EXPECT_DOUBLE_EQ(time_left(50, 100, 50), 50);
  // Half of the work took twice as long as forecast; the forecast weighs 5 of 55.
  EXPECT_DOUBLE_EQ(time_left(50, 100, 100), 50 * 105.0 / 55);
  EXPECT_DOUBLE_EQ(time_left(100, 100, 300), 0);
  EXPECT_DOUBLE_EQ(time_left(0, 0, 1), 0);
}

TEST(Progress, ALogGetsForecastPercentAndTimeLeft) {
  const Workplace w;
  TokenFileWriter writer(w.folder / "a.bin", 1000);
  writer.add(std::vector<int32_t>(4096, 3));
  writer.finish();
  const Finished finished =
      regroup({"convert", w.model, w.out, "--kv-heads", "2", "--calibration", w.folder / "a.bin",
               "--layer-steps", "2", "--device", "cpu", "--threads", "1"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  for (const char* part :
       {"convert: reading the text, measuring the speed of this machine\n",
        "convert: calibrate on 4096 tokens in 64 windows of 64 (16 held out), ",
        ", 64 first tokens, ",
        // 58 of them as often as 48 windows, 8 of those a step: 10
        " layers of at most 2 steps of 2087 tokens, then 64 of all layers together; ",
        " FLOPs, about ", " left\n", "100 %  done "}) {
    EXPECT_TRUE(contains(finished.err, part)) << part << finished.err;
  }
}

TEST(Progress, TheLossOfATextSaysHowMuchIsLeft) {
  const Workplace w;
  TokenFileWriter writer(w.folder / "a.bin", 1000);
  writer.add(std::vector<int32_t>(64, 3));
  writer.finish();
  const Finished finished =
      regroup({"eval", w.model, "--tokens", w.folder / "a.bin", "--seq-len", "32", "--batch-size",
               "1", "--device", "cpu", "--threads", "1"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  for (const char* part : {" 50 %  1 of 2 windows  ", " left\n", "100 %  2 of 2 windows"}) {
    EXPECT_TRUE(contains(finished.err, part)) << part << finished.err;
  }
}

TEST(Progress, QuietSaysNothing) {
  const Workplace w;
  EXPECT_EQ(regroup({"convert", w.model, w.out, "--kv-heads", "2", "--quiet"}).err, "");
}

}  // namespace
}  // namespace regroup::testing
