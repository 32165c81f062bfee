// 127 small files: each is accepted, or refused with its own code, in bounded time and memory, and nothing
// else is ever thrown.
#include "support/safetensors_cases.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>

#include "regroup/base/error.h"
#include "regroup/base/host_memory.h"
#include "regroup/base/input_file.h"
#include "regroup/checkpoint/safetensors.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMeasured = false;  // red zones and shadow memory are not the reader's doing
#else
constexpr bool kMeasured = true;
#endif

/// The code that opening `path` ends with: "OK", an ST_* code, or what else was thrown.
std::string verdict(const std::string& path) {
  try {
    const SafetensorsFile file{InputFile(path)};
    return "OK";
  } catch (const CheckpointError& error) {
    return error.info().code;
  } catch (const std::exception& error) {
    return std::string("not a CheckpointError: ") + error.what();
  }
}

class SafetensorsCases : public ::testing::TestWithParam<SafetensorsCase> {};

TEST_P(SafetensorsCases, EndsAsTheTableSays) {
  const SafetensorsCase& c = GetParam();
  SCOPED_TRACE(c.why);
  const TemporaryFolder folder;
  const std::string path = folder.write("x.safetensors", c.make());
  const auto start = std::chrono::steady_clock::now();
  const std::string found = verdict(path);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (c.codes.empty()) {
    EXPECT_EQ(found, "OK");
  } else {
    EXPECT_NE(std::find(c.codes.begin(), c.codes.end(), found), c.codes.end())
        << "found " << found << ", expected " << c.codes.front();
  }
  if (kMeasured) {
    EXPECT_LT(seconds.count(), 60);  // it ends, on a slow machine too
  }
}

INSTANTIATE_TEST_SUITE_P(All, SafetensorsCases, ::testing::ValuesIn(safetensors_cases()),
                         [](const auto& test) { return test.param.id; });

TEST(SafetensorsTable, Holds127CasesOf127Ids) {
  std::set<std::string> ids;
  int64_t good = 0;
  for (const SafetensorsCase& c : safetensors_cases()) {
    ids.insert(c.id);
    good += c.codes.empty();
  }
  EXPECT_EQ(safetensors_cases().size(), 127U);
  EXPECT_EQ(ids.size(), 127U);
  EXPECT_EQ(good, 15);
}

// What the refusal may cost: 64 MB and three times the header, above what the process had before.
// A child measures, because the highest mark of a process never falls.
TEST(SafetensorsMemory, HostileHeadersStayWithinTheirBound) {
  if (!kMeasured) GTEST_SKIP() << "memory is not measured under a sanitizer";
  const TemporaryFolder folder;
  for (const SafetensorsCase& c : safetensors_cases()) {
    const bool large =
        std::set<std::string>{"N01", "N02", "J16", "J17", "S16", "K10", "L12"}.contains(c.id);
    if (!large) continue;
    SCOPED_TRACE(c.id);
    const std::string path = folder.write("x.safetensors", c.make());
    const int64_t bound = (int64_t{64} << 20) + 3 * InputFile(path).size();
    const pid_t child = ::fork();
    if (child == 0) {
      const int64_t before = peak_rss_bytes();
      const std::string found = verdict(path);
      const int64_t used = peak_rss_bytes() - before;
      if (used > bound) std::fprintf(stderr, "used %ld of %ld bytes\n", long(used), long(bound));
      ::_exit(found == c.codes.front() || found == c.codes.back() ? (used <= bound ? 0 : 1) : 2);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << "1: too much memory, 2: another verdict";
  }
}

}  // namespace
}  // namespace regroup::testing
