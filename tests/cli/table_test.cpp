// Tables as a terminal shows them.
#include "table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>

namespace regroup {
namespace {

TEST(FormatTable, NumbersAlignRightAndSignsTakeOneColumn) {
  EXPECT_EQ(format_table({{"name", "loss"}, {"a", "1.5 ± 0.1"}, {"long name", "12.5 ± 0.1"}}),
            "name             loss\n"
            "---------------------\n"
            "a           1.5 ± 0.1\n"
            "long name  12.5 ± 0.1\n");
  EXPECT_EQ(format_table({}), "");
}

const TableRows kWide = {{"KV heads", "queue p50", "+p99", "running", "+most"},
                         {"40", "1 ms", "20 ms", "3.0", "17"},
                         {"8", "0 ms", "1 ms", "2.5", "9"}};

// 8 + 9 + 5 + 7 + 4 and 2 between each two: 41.
TEST(FormatTable, HasItsColumnsSideBySideWhereThereIsRoom) {
  const std::string whole =
      "KV heads  queue p50    p99  running  most\n"
      "-----------------------------------------\n"
      "      40       1 ms  20 ms      3.0    17\n"
      "       8       0 ms   1 ms      2.5     9\n";
  EXPECT_EQ(format_table(kWide, 1, std::nullopt), whole);
  EXPECT_EQ(format_table(kWide, 1, 41), whole);
  EXPECT_NE(format_table(kWide, 1, 40), whole);
}

// A "+" column stays with the one before it: 8 + 2 + 9 + 2 + 5 = 26 columns are needed for the widest pair.
TEST(FormatTable, IsFoldedWithItsKeysAgain) {
  const std::string folded =
      "KV heads  queue p50    p99\n"
      "--------------------------\n"
      "      40       1 ms  20 ms\n"
      "       8       0 ms   1 ms\n"
      "\n"
      "KV heads  running  most\n"
      "-----------------------\n"
      "      40      3.0    17\n"
      "       8      2.5     9\n";
  EXPECT_EQ(format_table(kWide, 1, 40), folded);
  EXPECT_EQ(format_table(kWide, 1, 26), folded);
}

TEST(FormatTable, IsAListWhereNoColumnFits) {
  const std::string list =
      "KV heads   40\n"
      "queue p50  1 ms\n"
      "  p99      20 ms\n"
      "running    3.0\n"
      "  most     17\n"
      "\n"
      "KV heads   8\n"
      "queue p50  0 ms\n"
      "  p99      1 ms\n"
      "running    2.5\n"
      "  most     9\n";
  EXPECT_EQ(format_table(kWide, 1, 25), list);
  EXPECT_EQ(format_table(kWide, 1, 1), list);
  EXPECT_EQ(format_table({{"KV heads"}, {"40"}}, 3, 4), "KV heads  40\n");
}

TEST(OutputColumns, AreThoseThatTheEnvironmentSays) {
  ::setenv("COLUMNS", "57", 1);
  EXPECT_EQ(output_columns(), 57U);
  for (const char* strange : {"", "0", "-5", "wide", "80x"}) {
    ::setenv("COLUMNS", strange, 1);
    EXPECT_EQ(output_columns(), terminal_columns(1)) << strange;
  }
  ::unsetenv("COLUMNS");
  EXPECT_EQ(output_columns(), terminal_columns(1));
}

/// A terminal of so many columns, as a descriptor.
TEST(OutputColumns, OfATerminalAreItsOwn) {
  const int leader = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (leader < 0 || ::grantpt(leader) != 0 || ::unlockpt(leader) != 0) GTEST_SKIP() << "no pty";
  const struct winsize size = {.ws_row = 24, .ws_col = 63, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(::ioctl(leader, TIOCSWINSZ, &size), 0);
  EXPECT_EQ(terminal_columns(leader), 63U);
  ::close(leader);
  EXPECT_EQ(terminal_columns(leader), std::nullopt);
}

TEST(FormatEstimate, WhatRoundsToZeroHasNoSign) {
  EXPECT_EQ(format_estimate(1.49003, 0.01241, "{:.4f}"), "1.4900 ± 0.0124");
  EXPECT_EQ(format_estimate(1.49003, std::nullopt, "{:.3f}"), "1.490");
  EXPECT_EQ(format_estimate(-1e-9, 0.0, "{:.4f}"), "0.0000 ± 0.0000");
  EXPECT_EQ(format_estimate(-std::numeric_limits<double>::infinity(), std::nullopt, "{:.4f}"),
            "-inf");
  EXPECT_EQ(format_estimate(-0.0001, std::nullopt, "{:.4f}"), "-0.0001");
}

}  // namespace
}  // namespace regroup
