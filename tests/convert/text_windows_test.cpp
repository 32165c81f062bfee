// Which windows of a longer text a calibration takes.
#include "text_windows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "calibration_text.h"

namespace regroup::testing {
namespace {

using Windows = std::vector<int64_t>;

TEST(TextWindows, ATextThatIsJustEnoughIsTakenWhole) {
  const TextWindows chosen = spread_windows({10}, 10, 3, 5);
  EXPECT_EQ(chosen.fitted, (Windows{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(chosen.held_out, (Windows{7, 8, 9}));
  EXPECT_EQ(chosen.fresh, Windows{});
}

// 40 windows, 4 of them wanted: 3 from the first 30, of thirds the middles; 1 from the last 10.
TEST(TextWindows, AreSpreadOverALongText) {
  const TextWindows chosen = spread_windows({40}, 4, 1, 2);
  EXPECT_EQ(chosen.fitted, (Windows{5, 15, 25}));
  EXPECT_EQ(chosen.held_out, (Windows{35}));
  // Of the 27 windows between, never of those behind: 0-4, 6-14, 16-24, 26-29.
  EXPECT_EQ(chosen.fresh, (Windows{7, 22}));
}

// Three files of 2, 50 and 50 windows: the short one gives what it has.
TEST(TextWindows, FilesAreMixedEvenly) {
  const TextWindows chosen = spread_windows({2, 50, 50}, 20, 4, 0);
  const auto in = [](const Windows& windows, int64_t first, int64_t end) {
    return std::count_if(windows.begin(), windows.end(),
                         [&](int64_t w) { return w >= first && w < end; });
  };
  EXPECT_EQ(in(chosen.fitted, 0, 2) + in(chosen.held_out, 0, 2), 2);
  EXPECT_EQ(in(chosen.fitted, 2, 52) + in(chosen.held_out, 2, 52), 9);
  EXPECT_EQ(in(chosen.fitted, 52, 102) + in(chosen.held_out, 52, 102), 9);
  EXPECT_EQ(in(chosen.held_out, 2, 52), 2);
  EXPECT_EQ(in(chosen.held_out, 52, 102), 2);
}

TEST(TextWindows, NoneIsTakenTwiceAndHeldOutOnesStandBehind) {
  for (const Windows& available : {Windows{7}, {3, 9}, {1, 1, 1, 30}, {0, 12, 5}, {64, 63, 62}}) {
    int64_t all = 0;
    for (const int64_t n : available) all += n;
    for (int64_t windows = 2; windows <= all; ++windows) {
      const int64_t held_out = std::max<int64_t>(1, windows / 4);
      const TextWindows chosen = spread_windows(available, windows, held_out, all);
      EXPECT_EQ(std::ssize(chosen.fitted), windows - held_out);
      EXPECT_EQ(std::ssize(chosen.held_out), held_out);
      std::set<int64_t> different;
      for (const Windows* some : {&chosen.fitted, &chosen.held_out, &chosen.fresh}) {
        different.insert(some->begin(), some->end());
      }
      EXPECT_EQ(std::ssize(different),
                std::ssize(chosen.fitted) + std::ssize(chosen.held_out) + std::ssize(chosen.fresh));
      EXPECT_GE(*different.begin(), 0);
      EXPECT_LT(*different.rbegin(), all);
      int64_t begin = 0;
      for (const int64_t n : available) {  // of each file
        const auto here = [&](int64_t w) { return w >= begin && w < begin + n; };
        for (const int64_t held : chosen.held_out) {
          for (const int64_t fitted : chosen.fitted) {
            EXPECT_TRUE(!here(held) || !here(fitted) || held > fitted);
          }
        }
        begin += n;
      }
    }
  }
}

// Windows lie on a grid over the files' tokens one after another; one belongs to the file it begins in.
TEST(CalibrationText, CountsTheWindowsOfEachFile) {
  const CalibrationText text{.ids = Windows(23, 0), .ends = {10, 11, 23}};
  EXPECT_EQ(text.windows(4), (Windows{3, 0, 2}));  // 0-3, 4-7, 8-11 | | 12-15, 16-19
  EXPECT_EQ(text.windows(5), (Windows{2, 1, 1}));  // 0-4, 5-9 | 10-14 | 15-19
  EXPECT_EQ(text.windows(24), (Windows{0, 0, 0}));
}

}  // namespace
}  // namespace regroup::testing
