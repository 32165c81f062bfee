// Runs all tests of a file once for every target of the CPU kernels that the processor has.
#include <gtest/gtest.h>

#include <cstdio>

#include "regroup/model/simd.h"

namespace {

/// gtest sets its environments up again for every repetition.
class NextTarget : public testing::Environment {
 public:
  void SetUp() override {
    regroup::use_simd_target(targets_.at(next_++));
    std::printf("kernels: %s\n", regroup::simd_target().c_str());
  }

 private:
  std::vector<std::string> targets_ = regroup::simd_targets();
  size_t next_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new NextTarget);
  testing::GTEST_FLAG(repeat) = static_cast<int>(regroup::simd_targets().size());
  testing::GTEST_FLAG(recreate_environments_when_repeating) = true;
  return RUN_ALL_TESTS();
}
