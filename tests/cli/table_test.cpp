// Tables as a terminal shows them.
#include "table.h"

#include <gtest/gtest.h>

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
