// A conversion may end at any moment: what it leaves is never taken for a finished folder, and the
// same command makes the same bytes of it.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "convert/convert_tools.h"
#include "convert/forked.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/manifest.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// About 25 MB in 4 shards.
TinyModelSpec large_model() {
  return {.n_layers = 4,
          .n_heads = 8,
          .n_kv_heads = 8,
          .head_dim = 64,
          .hidden_size = 512,
          .intermediate_size = 1024,
          .vocab_size = 1024,
          .dtype = Dtype::kBF16,
          .n_shards = 4};
}

class ConversionResume : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    write_tiny_model(model(), large_model());
    write_file(model() + "/tokenizer_config.json", "{}");
    const auto start = std::chrono::steady_clock::now();
    ASSERT_EQ(run_forked([] { convert(model(), *shared_ / "golden", 2); }).exit_code, 0);
    whole_us_ = std::chrono::duration_cast<std::chrono::microseconds>(
                    std::chrono::steady_clock::now() - start)
                    .count();
    golden_ = read_tree(*shared_ / "golden");
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::string model() { return *shared_ / "model"; }

  static std::unique_ptr<TemporaryFolder> shared_;
  static std::string golden_;
  static int64_t whole_us_;
};
std::unique_ptr<TemporaryFolder> ConversionResume::shared_;
std::string ConversionResume::golden_;
int64_t ConversionResume::whole_us_ = 0;

// Attempts are killed at random moments until one is through; then all again with a new folder.
TEST_F(ConversionResume, KilledAtRandomMoments) {
  constexpr int kKills = 120;
  Random random(static_cast<uint64_t>(::getpid()));
  const TemporaryFolder temporary;
  int kills = 0;
  int resumed = 0;
  for (int folder = 0; kills < kKills; ++folder) {
    const std::string out = temporary / fmt::format("out{}", folder);
    while (!path_exists(out)) {
      const pid_t child = fork_child([&] { convert(model(), out, 2); });
      const auto wait_us =
          static_cast<int64_t>(random.uniform() * 1.1 * static_cast<double>(whole_us_));
      std::this_thread::sleep_for(std::chrono::microseconds(wait_us));
      ::kill(child, SIGKILL);
      const Ended ended = wait_for(child);
      if (ended.signal == 0) {
        ASSERT_EQ(ended.exit_code, 0);
        break;
      }
      ++kills;
      resumed += path_exists(out + ".partial/PROGRESS.json");
    }
    ASSERT_TRUE(read_tree(out) == golden_);
    ASSERT_FALSE(path_exists(out + ".partial"));
    std::filesystem::remove_all(out);
  }
  std::printf("%d kills, %d of them with finished files left behind\n", kills, resumed);
  EXPECT_GT(resumed, kKills / 10);
}

// The signal comes while tensor number n is written. 75 once a file is finished, 143 before.
TEST_F(ConversionResume, StoppedBySignals) {
  struct Case {
    int signal;
    int after_reports;
    int exit_code;
  };
  const Case cases[] = {{SIGTERM, 1, 143}, {SIGINT, 1, 130}, {SIGTERM, 15, 75}, {SIGINT, 30, 75}};
  for (const Case& c : cases) {
    SCOPED_TRACE(fmt::format("signal {} after {} reports", c.signal, c.after_reports));
    const TemporaryFolder temporary;
    const auto attempt = [&](int stop_after) {
      return run_forked([&] {
        install_stop_handlers();
        int reports = 0;
        convert(model(), temporary / "out", 2, {.method = Method::kMean}, [&](int64_t, int64_t) {
          if (++reports == stop_after) ::raise(c.signal);
        });
      });
    };
    EXPECT_EQ(attempt(c.after_reports).exit_code, c.exit_code);
    EXPECT_FALSE(path_exists(temporary / "out"));
    EXPECT_EQ(attempt(-1).exit_code, 0);
    EXPECT_TRUE(read_tree(temporary / "out") == golden_);
  }
}

// Files of finished shards are not written again.
TEST_F(ConversionResume, KeepsWhatIsFinished) {
  const TemporaryFolder temporary;
  const std::string out = temporary / "out";
  const auto stop_after = [&](int max, ResumeMode resume) {
    return run_forked([&] {
             int reports = 0;
             const ConvertResult result =
                 convert(model(), out, 2, {.method = Method::kMean, .output = {.resume = resume}},
                         [&](int64_t, int64_t) {
                           if (++reports == max) set_stop_signal(SIGTERM);
                         });
             if (result.resumed_files != 2) ::_exit(99);
           })
        .exit_code;
  };
  EXPECT_EQ(stop_after(25, ResumeMode::kAuto), 75);
  const std::string first = out + ".partial/model-00001-of-00004.safetensors";
  const auto written = std::filesystem::last_write_time(first);
  EXPECT_EQ(stop_after(-1, ResumeMode::kRequired), 0);
  EXPECT_EQ(std::filesystem::last_write_time(out + "/model-00001-of-00004.safetensors"), written);
  EXPECT_TRUE(read_tree(out) == golden_);
}

// A finished file that was damaged since is made again.
TEST_F(ConversionResume, DamagedFilesAreMadeAgain) {
  const TemporaryFolder temporary;
  const std::string out = temporary / "out";
  const auto attempt = [&](int stop_after) {
    return run_forked([&] {
             int reports = 0;
             convert(model(), out, 2, {.method = Method::kMean}, [&](int64_t, int64_t) {
               if (++reports == stop_after) set_stop_signal(SIGTERM);
             });
           })
        .exit_code;
  };
  EXPECT_EQ(attempt(25), 75);
  const std::string shard = out + ".partial/model-00001-of-00004.safetensors";
  std::string bytes = read_file(shard);
  bytes[bytes.size() / 2] ^= 1;
  write_file(shard, bytes);
  write_file(out + ".partial/PROGRESS.json.tmp", "torn");
  EXPECT_EQ(attempt(-1), 0);
  EXPECT_TRUE(read_tree(out) == golden_);
}

TEST_F(ConversionResume, OtherSettingsDoNotResume) {
  const TemporaryFolder temporary;
  const std::string out = temporary / "out";
  EXPECT_EQ(run_forked([&] {
              int reports = 0;
              convert(model(), out, 2, {.method = Method::kMean}, [&](int64_t, int64_t) {
                if (++reports == 25) set_stop_signal(SIGTERM);
              });
            }).exit_code,
            75);
  const ErrorInfo error =
      expect_error<ConfigError>("CKPT_MISMATCH", [&] { convert(model(), out, 4); });
  EXPECT_TRUE(contains(error.message,
                       "holds an interrupted run with other settings: "
                       "arguments.kv_heads (was 2, now 4)"));
  EXPECT_EQ(run_forked([&] {
              convert(model(), out, 2,
                      {.method = Method::kMean, .output = {.resume = ResumeMode::kNever}});
            }).exit_code,
            0);
  EXPECT_TRUE(read_tree(out) == golden_);
  expect_error<ConfigError>("PARTIAL_MISSING", [&] {
    convert(model(), temporary / "other", 2,
            {.method = Method::kMean, .output = {.resume = ResumeMode::kRequired}});
  });
}

// A disk that is full at some byte: exit 5, and with more room the same command goes on.
TEST_F(ConversionResume, FullDisk) {
  for (const rlim_t limit : {1 << 10, 1 << 20, 5 << 20}) {
    SCOPED_TRACE(limit);
    const TemporaryFolder temporary;
    const auto attempt = [&](rlim_t max) {
      return run_forked([&] {
               install_stop_handlers();
               const rlimit room = {max, max};
               if (max != RLIM_INFINITY) ::setrlimit(RLIMIT_FSIZE, &room);
               convert(model(), temporary / "out", 2);
             })
          .exit_code;
    };
    EXPECT_EQ(attempt(limit), 5);
    EXPECT_FALSE(path_exists(temporary / "out"));
    EXPECT_EQ(attempt(RLIM_INFINITY), 0);
    EXPECT_TRUE(read_tree(temporary / "out") == golden_);
  }
}

}  // namespace
}  // namespace regroup::testing
