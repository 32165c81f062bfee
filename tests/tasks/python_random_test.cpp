// The numbers of CPython's random.Random. Expected values were printed by CPython 3.11.
#include "python_random.h"

#include <gtest/gtest.h>

namespace regroup::testing {
namespace {

using Numbers = std::vector<int64_t>;

TEST(PythonRandom, SamplesOneAfterTheOther) {
  PythonRandom random(1234);
  EXPECT_EQ(random.sample(1000, 5), (Numbers{989, 796, 451, 119, 7}));  // drawn into a set
  EXPECT_EQ(random.sample(1000, 5), (Numbers{92, 932, 965, 961, 826}));
  EXPECT_EQ(PythonRandom(1234).sample(20, 5), (Numbers{14, 3, 0, 2, 1}));  // drawn from a list
}

TEST(PythonRandom, SampleOfAllIsAPermutation) {
  Numbers all = PythonRandom(3).sample(7, 7);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, (Numbers{0, 1, 2, 3, 4, 5, 6}));
}

TEST(PythonRandom, Floats) { EXPECT_EQ(PythonRandom(0).random(), 0.8444218515250481); }

TEST(PythonRandom, Shuffles) {
  Numbers values = {0, 1, 2, 3, 4, 5};
  PythonRandom(42).shuffle(values);
  EXPECT_EQ(values, (Numbers{3, 1, 2, 4, 0, 5}));
}

TEST(PythonRandom, WholeNumbers) {
  PythonRandom random(42);
  EXPECT_EQ(random.randint(1000000, 9999999), 2867825);
  EXPECT_EQ(random.randint(1000000, 9999999), 1419610);
  EXPECT_EQ(random.randint(1000000, 9999999), 5614226);
}

}  // namespace
}  // namespace regroup::testing
