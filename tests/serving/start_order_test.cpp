// The youngest sequence that still runs, however many have ended.
#include "start_order.h"

#include <gtest/gtest.h>

namespace regroup {
namespace {

TEST(StartOrder, TheYoungestComesFirstAndThoseThatEndedDoNot) {
  std::vector<Running> slots(3);
  StartOrder order(slots);
  for (size_t slot = 0; slot < 3; ++slot) order.add({slot, 0});
  ++slots[2].generation;  // it ended
  EXPECT_EQ(order.take_youngest().slot, 1U);
  order.add({2, 1});
  EXPECT_EQ(order.take_youngest().slot, 2U);
  EXPECT_EQ(order.take_youngest().slot, 0U);
}

// A million sequences through one slot beside one that stays.
TEST(StartOrder, RemembersNoMoreThanRun) {
  std::vector<Running> slots(2);
  StartOrder order(slots);
  order.add({0, 0});
  size_t most = 0;
  for (uint32_t i = 0; i < 1'000'000; ++i) {
    order.add({1, i});
    slots[1].generation = i + 1;
    most = std::max(most, order.size());
  }
  EXPECT_LE(most, 70U);
  EXPECT_EQ(order.take_youngest().slot, 0U);
}

}  // namespace
}  // namespace regroup
