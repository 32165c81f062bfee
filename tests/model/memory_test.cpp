#include "regroup/model/memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup {
namespace {

using testing::TemporaryFolder;

/// A root folder with the few files of /proc and /sys that say how much memory there is.
class FakeSystem {
 public:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void installed(int64_t kib, int64_t swap_kib) {
    write("proc/meminfo", "MemTotal:       " + std::to_string(kib) +
                              " kB\nMemFree:        1 kB\nSwapCached: 7 kB\nSwapTotal:      " +
                              std::to_string(swap_kib) + " kB\n");
  }
  std::optional<int64_t> limit() const { return host_memory_limit(folder_ / ""); }

 private:
  TemporaryFolder folder_;
};

TEST(HostMemory, IsMemoryAndSwapWithoutControlGroups) {
  FakeSystem system;
  system.installed(2000, 500);
  EXPECT_EQ(system.limit(), 2500 * 1024);
}

TEST(HostMemory, IsUnknownWhereTheSystemSaysNothing) {
  EXPECT_EQ(FakeSystem().limit(), std::nullopt);
}

TEST(HostMemory, ControlGroupsOfVersion2LimitItUpToTheRoot) {
  FakeSystem system;
  system.installed(1 << 20, 0);
  system.write("proc/self/cgroup", "0::/outer/inner\n");
  system.write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  EXPECT_EQ(system.limit(), int64_t{1} << 30);
  system.write("sys/fs/cgroup/outer/memory.max", "5000\n");
  EXPECT_EQ(system.limit(), 5000);
  system.write("sys/fs/cgroup/outer/inner/memory.max", "4000\n");
  EXPECT_EQ(system.limit(), 4000);
}

TEST(HostMemory, ControlGroupsOfVersion1LimitIt) {
  FakeSystem system;
  system.installed(1 << 20, 0);
  system.write("proc/self/cgroup", "5:cpuset:/\n4:memory:/job\n0::/\n");
  system.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(system.limit(), int64_t{1} << 30);
  system.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "7000\n");
  EXPECT_EQ(system.limit(), 7000);
}

TEST(HostMemory, InAContainerTheMountsRootIsTheGroup) {
  FakeSystem system;
  system.installed(1 << 20, 0);
  system.write("proc/self/cgroup", "0::/docker/0123\n");  // the host's path: not there inside
  system.write("sys/fs/cgroup/memory.max", "6000\n");
  EXPECT_EQ(system.limit(), 6000);
}

TEST(RequireMemory, RefusesWhatTheHostDoesNotHave) {
  require_memory(1 << 20, at::kCPU, "this run", "");
  const ErrorInfo error = testing::expect_error<ConfigError>(
      "NO_MEMORY", [] { require_memory(int64_t{1} << 60, at::kCPU, "this run", "use less"); });
  EXPECT_TRUE(testing::contains(error.message, "this run needs about 1 EiB of host memory"));
  EXPECT_EQ(error.hint, "use less");
}

}  // namespace
}  // namespace regroup
