#include "regroup/base/host_memory.h"

#include <gtest/gtest.h>

#include <string>

#include "support/fake_system.h"

namespace regroup {
namespace {

class FakeMemory : public testing::FakeSystem {
 public:
  void installed(int64_t kib) {
    write("proc/meminfo", "MemTotal:       " + std::to_string(kib) +
                              " kB\nMemFree:        1 kB\nSwapTotal:      500 kB\n");
  }
  std::optional<int64_t> limit() const { return host_memory(root()); }
};

TEST(HostMemory, IsWhatTheMachineHasWithoutControlGroups) {
  FakeMemory system;
  system.installed(2000);
  EXPECT_EQ(system.limit(), 2000 * 1024);
}

TEST(HostMemory, IsUnknownWhereTheSystemSaysNothing) {
  EXPECT_EQ(FakeMemory().limit(), std::nullopt);
}

TEST(HostMemory, ControlGroupsOfVersion2LimitItUpToTheRoot) {
  FakeMemory system;
  system.installed(1 << 20);
  system.write("proc/self/cgroup", "0::/outer/inner\n");
  system.write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  EXPECT_EQ(system.limit(), int64_t{1} << 30);
  system.write("sys/fs/cgroup/outer/memory.max", "5000\n");
  EXPECT_EQ(system.limit(), 5000);
  system.write("sys/fs/cgroup/outer/inner/memory.max", "4000\n");
  EXPECT_EQ(system.limit(), 4000);
}

TEST(HostMemory, ControlGroupsOfVersion1LimitIt) {
  FakeMemory system;
  system.installed(1 << 20);
  system.write("proc/self/cgroup", "5:cpuset:/\n4:memory:/job\n0::/\n");
  system.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(system.limit(), int64_t{1} << 30);
  system.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "7000\n");
  EXPECT_EQ(system.limit(), 7000);
}

TEST(HostMemory, InAContainerTheMountsRootIsTheGroup) {
  FakeMemory system;
  system.installed(1 << 20);
  system.write("proc/self/cgroup", "0::/docker/0123\n");  // the host's path: not there inside
  system.write("sys/fs/cgroup/memory.max", "6000\n");
  EXPECT_EQ(system.limit(), 6000);
}

}  // namespace
}  // namespace regroup
