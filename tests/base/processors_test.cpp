#include "regroup/base/processors.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>

#include "support/fake_system.h"

namespace regroup {
namespace {

using testing::FakeSystem;

/// The processors of this machine that this process may run on.
int allowed() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

class Processors : public ::testing::Test {
 protected:
  void SetUp() override { ::unsetenv("OMP_NUM_THREADS"); }
  int threads() const { return usable_threads(system.root()); }
  FakeSystem system;
};

TEST_F(Processors, AreThoseThatTheProcessMayRunOn) {
  EXPECT_EQ(threads(), allowed());
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (size_t cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(threads(), 1);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST_F(Processors, OpenMpLimitsThem) {
  for (const char* text : {"1", " 1", "1,4"}) {
    ::setenv("OMP_NUM_THREADS", text, 1);
    EXPECT_EQ(threads(), 1) << text;
  }
  for (const char* text : {"4096", "", "many", "0", "-3"}) {
    ::setenv("OMP_NUM_THREADS", text, 1);
    EXPECT_EQ(threads(), allowed()) << text;
  }
}

TEST_F(Processors, AQuotaOfVersion2LimitsThemUpToTheRoot) {
  system.write("proc/self/cgroup", "0::/outer/inner\n");
  system.write("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  EXPECT_EQ(threads(), allowed());
  system.write("sys/fs/cgroup/outer/cpu.max", "140000 100000\n");
  EXPECT_EQ(threads(), 1);
  system.write("sys/fs/cgroup/outer/cpu.max", "150000 100000\n");  // one and a half: two
  EXPECT_EQ(threads(), std::min(allowed(), 2));
  system.write("sys/fs/cgroup/outer/cpu.max", "25600000 100000\n");
  EXPECT_EQ(threads(), std::min(allowed(), 256));
  system.write("sys/fs/cgroup/outer/inner/cpu.max", "50000 100000\n");  // half of one: one
  EXPECT_EQ(threads(), 1);
}

TEST_F(Processors, AQuotaOfVersion1LimitsThem) {
  system.write("proc/self/cgroup", "4:cpu,cpuacct:/job\n3:cpuset:/other\n0::/\n");
  system.write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  system.write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(threads(), allowed());
  system.write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(threads(), 1);
}

TEST_F(Processors, InAContainerTheMountsRootIsTheGroup) {
  system.write("proc/self/cgroup", "0::/docker/0123\n");  // the host's path: not there inside
  system.write("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(threads(), 1);
}

}  // namespace
}  // namespace regroup
