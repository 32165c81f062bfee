// Runs in several processes, from the command line: the same losses and weights, resumed with any number of them, and
// what becomes of the others when one ends.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "support/process.h"
#include "support/ranks.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

class Together : public ::testing::Test {
 protected:
  Words command(const std::string& name, int processes, const Words& more = {}) const {
    Words line = {"uptrain",
                  f.options.model,
                  f.folder / name,
                  "--data",
                  f.options.data[0],
                  "--valid",
                  f.options.valid,
                  "--seq-len",
                  "16",
                  "--lr",
                  "1e-2",
                  "--warmup",
                  "2",
                  "--eval-every",
                  "3",
                  "--device",
                  "cpu",
                  "--threads",
                  "1",
                  "--quiet",
                  "--json",
                  "--processes",
                  std::to_string(processes)};
    line.insert(line.end(), more.begin(), more.end());
    return line;
  }
  Json run(const std::string& name, int processes, const Words& more = {}) const {
    const Finished done = run_process(REGROUP_BINARY, command(name, processes, more));
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return done.exit_code == 0 ? Json::parse(done.out) : Json();
  }

  Fixture f;
};

/// The numbers of two runs' steps, whatever the clock said.
void expect_same_steps(const std::string& one, const std::string& other, double tolerance) {
  const std::vector<std::string> a = step_lines(one);
  const std::vector<std::string> b = step_lines(other);
  ASSERT_EQ(a.size(), b.size());
  ASSERT_FALSE(a.empty());
  for (size_t i = 0; i < a.size(); ++i) {
    const Json x = Json::parse(a[i]);
    const Json y = Json::parse(b[i]);
    ASSERT_EQ(x.size(), y.size()) << a[i] << " " << b[i];
    for (const auto& [key, value] : x.items()) {
      const double number = value.get<double>();
      EXPECT_NEAR(number, y.at(key).get<double>(), tolerance * std::abs(number))
          << key << " of step " << i + 1;
    }
  }
}

/// The largest difference of float32 weights, over the largest weight.
double weight_difference(const std::string& one, const std::string& other) {
  const auto a = tensors_of(one);
  const auto b = tensors_of(other);
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  double largest = 0;
  for (const auto& [name, bytes] : a) {
    std::vector<float> x(bytes.size() / sizeof(float));
    std::vector<float> y(x.size());
    std::memcpy(x.data(), bytes.data(), bytes.size());
    std::memcpy(y.data(), b.at(name).data(), bytes.size());
    for (size_t i = 0; i < x.size(); ++i) {
      worst = std::max<double>(worst, std::abs(x[i] - y[i]));
      largest = std::max<double>(largest, std::abs(x[i]));
    }
  }
  return worst / largest;
}

TEST_F(Together, TrainAsOneDoes) {
  write_tiny_model(f.folder / "teacher", {.n_layers = 1, .n_kv_heads = 4});
  const std::vector<std::pair<std::string, Words>> cases = {
      {"plain", {"--steps", "8", "--batch-size", "8"}},
      {"micro", {"--steps", "8", "--batch-size", "8", "--micro-batch-size", "1"}},
      {"uneven", {"--steps", "8", "--batch-size", "7", "--micro-batch-size", "2"}},
      {"teacher",
       {"--steps", "6", "--batch-size", "4", "--teacher", f.folder / "teacher", "--kl-weight",
        "0.5", "--train", "kv", "--kv-lr-scale", "3"}},
      {"cached",
       {"--steps", "4", "--batch-size", "4", "--teacher", f.folder / "teacher", "--teacher-cache",
        f.folder / "cache", "--train", "attention"}},
  };
  for (const auto& [name, flags] : cases) {
    const Json alone = run(name + "1", 1, flags);
    for (const int processes : {2, 4}) {
      SCOPED_TRACE(fmt::format("{} in {} processes", name, processes));
      const std::string out = fmt::format("{}{}", name, processes);
      const Json json = run(out, processes, flags);
      EXPECT_EQ(json.at("processes"), processes);
      EXPECT_EQ(json.at("tokens"), alone.at("tokens"));
      expect_same_steps(f.folder / (name + "1"), f.folder / out, 1e-5);
      EXPECT_LT(weight_difference(f.folder / (name + "1/model"), f.folder / (out + "/model")),
                2e-4);
      EXPECT_FALSE(path_exists(f.folder / (out + "/model.partial")));
    }
  }
}

TEST_F(Together, ChooseTheRateThatOneChooses) {
  Words flags = {"--steps", "2", "--batch-size", "4"};
  const auto without_rate = [&](const std::string& name, int processes) {
    Words line = command(name, processes, flags);
    line.erase(std::find(line.begin(), line.end(), "--lr"),
               std::find(line.begin(), line.end(), "--warmup"));
    const Finished done = run_process(REGROUP_BINARY, line);
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return Json::parse(done.out).at("lr").get<double>();
  };
  EXPECT_EQ(without_rate("one", 1), without_rate("two", 2));
}

TEST(TogetherInBf16, TrainAsOneDoesToItsRounding) {
  Fixture f("bf16");
  const auto run = [&](const std::string& name, const char* processes) {
    const Finished done = run_process(REGROUP_BINARY, {"uptrain",
                                                       f.options.model,
                                                       f.folder / name,
                                                       "--data",
                                                       f.options.data[0],
                                                       "--steps",
                                                       "6",
                                                       "--seq-len",
                                                       "16",
                                                       "--batch-size",
                                                       "8",
                                                       "--lr",
                                                       "1e-2",
                                                       "--precision",
                                                       "bf16",
                                                       "--device",
                                                       "cpu",
                                                       "--threads",
                                                       "1",
                                                       "--quiet",
                                                       "--processes",
                                                       processes});
    EXPECT_EQ(done.exit_code, 0) << done.err;
  };
  run("one", "1");
  for (const char* processes : {"2", "3"}) {
    run(processes, processes);
    expect_same_steps(f.folder / "one", f.folder / processes, 1e-2);
  }
}

// The state in a checkpoint is whole: any number of processes goes on from it.
TEST_F(Together, AnotherNumberOfThemGoesOn) {
  const Words flags = {"--steps", "8", "--batch-size", "8"};
  run("whole", 1, flags);
  const std::vector<std::array<int, 2>> numbers = {{1, 2}, {2, 1}, {3, 4}, {2, 2}};
  for (const auto& [before, after] : numbers) {
    SCOPED_TRACE(fmt::format("{}, then {}", before, after));
    const std::string name = fmt::format("stopped-{}-{}", before, after);
    Words shortly = flags;
    shortly.insert(shortly.end(), {"--max-minutes", "0.0000001"});
    const Finished stopped = run_process(REGROUP_BINARY, command(name, before, shortly));
    EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
    EXPECT_TRUE(contains(stopped.err, "error[STOPPED] "));
    EXPECT_FALSE(path_exists(f.folder / (name + "/model")));
    EXPECT_EQ(run(name, after, flags).at("resumed_from"), 1);
    expect_same_steps(f.folder / "whole", f.folder / name, 1e-5);
    EXPECT_LT(weight_difference(f.folder / "whole/model", f.folder / (name + "/model")), 2e-4);
  }
  // As many as before give the same bits.
  run("whole-2", 2, flags);
  EXPECT_TRUE(read_tree(f.folder / "whole-2/model") == read_tree(f.folder / "stopped-2-2/model"));
}

/// A run in the background that is under way, and its processes by rank.
class Started {
 public:
  Started(const Words& line, const std::string& out, int processes) : folder_(out + "-said") {
    fs::create_directories(folder_);
    pid_ = start_process(REGROUP_BINARY, line, folder_ + "/out", folder_ + "/err");
    for (int i = 0; i < 3000 && step_count(out) < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    for (int rank = 0; rank < processes; ++rank) ranks_.push_back(find(rank));
  }
  pid_t rank(int r) const { return ranks_.at(static_cast<size_t>(r)); }
  pid_t starter() const { return pid_; }
  int finish() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string err() const { return read_file(folder_ + "/err"); }
  std::string out() const { return read_file(folder_ + "/out"); }
  bool any_left() const {
    return std::any_of(ranks_.begin(), ranks_.end(), [](pid_t pid) { return ::kill(pid, 0) == 0; });
  }

 private:
  static size_t step_count(const std::string& out) {
    return path_exists(out + "/metrics.jsonl") ? read_file(out + "/metrics.jsonl").size() / 400 : 0;
  }
  /// The child whose environment says that it has this rank.
  pid_t find(int rank) const {
    std::ifstream children(fmt::format("/proc/{}/task/{}/children", pid_, pid_));
    const std::string wanted = fmt::format("RANK={}", rank);
    for (pid_t child = 0; children >> child;) {
      std::ifstream environment(fmt::format("/proc/{}/environ", child));
      for (std::string entry; std::getline(environment, entry, '\0');) {
        if (entry == wanted) return child;
      }
    }
    ADD_FAILURE() << "no process of rank " << rank << "\n" << err();
    return 0;
  }

  std::string folder_;
  pid_t pid_ = -1;
  std::vector<pid_t> ranks_;
};

const Words kLong = {"--steps", "1000000", "--batch-size", "6", "--checkpoint-every", "2"};

TEST_F(Together, WhoIsKilledEndsAllAndIsNamed) {
  for (const int rank : {0, 1}) {
    SCOPED_TRACE(rank);
    const std::string name = fmt::format("killed-{}", rank);
    Started run(command(name, 3, kLong), f.folder / name, 3);
    ASSERT_GT(run.rank(rank), 0);
    ::kill(run.rank(rank), SIGKILL);
    EXPECT_EQ(run.finish(), 75);
    EXPECT_TRUE(contains(run.err(), fmt::format("rank {} of 3 (pid {}) was ended by SIGKILL", rank,
                                                run.rank(rank))));
    EXPECT_TRUE(contains(run.err(), fmt::format("rank 2 ends because rank {} of 3", rank)));
    EXPECT_FALSE(run.any_left());
    Words on = kLong;
    on.insert(on.end(), {"--resume", "required", "--max-minutes", "0.0000001"});
    const Finished resumed = run_process(REGROUP_BINARY, command(name, 2, on));
    EXPECT_EQ(resumed.exit_code, 75) << resumed.err;
    EXPECT_TRUE(contains(read_file(f.folder / (name + "/metrics.jsonl")), "\"event\":\"resume\""));
  }
}

// A signal to one of them, or to who started them: all leave after the same step, with one checkpoint.
TEST_F(Together, ASignalToAnyStopsAll) {
  for (const bool to_one : {true, false}) {
    SCOPED_TRACE(to_one);
    const std::string name = to_one ? "one" : "all";
    Started run(command(name, 3, kLong), f.folder / name, 3);
    ASSERT_GT(run.rank(2), 0);
    ::kill(to_one ? run.rank(2) : run.starter(), SIGTERM);
    EXPECT_EQ(run.finish(), 75);
    EXPECT_TRUE(contains(run.err(), "error[STOPPED] stopped by SIGTERM"));
    EXPECT_EQ(run.err().find("PROCESS_LOST"), std::string::npos) << run.err();
    EXPECT_EQ(Json::parse(run.out()).at("error").at("code"), "STOPPED");
    const std::string metrics = read_file(f.folder / (name + "/metrics.jsonl"));
    const size_t last = metrics.rfind("\"step\":");
    const int64_t step = std::stoll(metrics.substr(last + 7));
    EXPECT_TRUE(path_exists(fmt::format("{}/checkpoints/step-{}", f.folder / name, step)));
  }
}

TEST_F(Together, WhatCannotBeSharedIsRefused) {
  const auto refused = [&](const std::string& code, int processes, const Words& more) {
    const Finished done = run_process(REGROUP_BINARY, command("refused", processes, more));
    EXPECT_EQ(done.exit_code, 2) << done.err;
    const Json error = Json::parse(done.out).at("error");  // once, from one of them
    EXPECT_EQ(error.at("code"), code);
    EXPECT_FALSE(path_exists(f.folder / "refused"));
    return error.at("message").get<std::string>();
  };
  EXPECT_EQ(refused("FLAG_VALUE", 4, {"--steps", "1", "--batch-size", "3"}),
            "--batch-size must give each of the 4 processes a sequence at every step, found 3");
  // Found when all have met.
  write_tiny_model(f.folder / "other", {.n_layers = 1, .n_kv_heads = 4, .vocab_size = 128});
  refused("TEACHER_MISMATCH", 2, {"--steps", "1", "--teacher", f.folder / "other"});
}

TEST_F(Together, AnEnvironmentThatMakesNoSense) {
  const auto with = [&](const Words& variables, int processes) {
    Words line = variables;
    line.insert(line.begin(), "-i");
    line.emplace_back(REGROUP_BINARY);
    const Words rest = command("env", processes, {"--steps", "1"});
    line.insert(line.end(), rest.begin(), rest.end());
    return run_process("/usr/bin/env", line);
  };
  const Finished alone = with({"RANK=1"}, 1);
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_TRUE(contains(alone.err, "WORLD_SIZE must be given with RANK, found RANK=1 alone"));
  const Words two = {"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=1"};
  const Finished three = with(two, 3);
  EXPECT_EQ(three.exit_code, 2);
  EXPECT_TRUE(contains(three.err, "--processes must be left out where RANK and WORLD_SIZE"));
  EXPECT_TRUE(contains(three.err, "found 3 where it started 2"));
}

// Two command lines that a launcher was given by mistake. Those that meet at other steps would wait for each other.
TEST_F(Together, OthersThanTheFirstTrainsAreRefused) {
  struct Difference {
    const char* flag;
    const char* there;
    const char* here;
    const char* said;
  };
  for (const Difference& d :
       {Difference{"--weight-decay", "0.1", "0.2", "weight_decay (there 0.1, here 0.2)"},
        {"--checkpoint-every", "2", "3", "checkpoint_every (there 2, here 3)"},
        {"--eval-every", "2", "1", "eval_every (there 2, here 1)"}}) {
    SCOPED_TRACE(d.flag);
    const std::string port = fmt::format("MASTER_PORT={}", free_test_port());
    const auto line = [&](const char* rank, const char* value) {
      Words words = {rank, "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", port, REGROUP_BINARY};
      Words rest = command("differ", 2, {"--steps", "1"});
      const auto given = std::find(rest.begin(), rest.end(), d.flag);
      if (given != rest.end()) rest.erase(given, given + 2);
      rest.insert(rest.end(), {d.flag, value});
      words.insert(words.end(), rest.begin(), rest.end());
      return words;
    };
    const pid_t first = start_process("/usr/bin/env", line("RANK=0", d.there),
                                      f.folder / "first-out", f.folder / "first-err");
    const Finished second = run_process("/usr/bin/env", line("RANK=1", d.here));
    int status = 0;
    ::waitpid(first, &status, 0);
    EXPECT_EQ(second.exit_code, 2);
    EXPECT_EQ(second.out, "");
    EXPECT_TRUE(
        contains(second.err, std::string("error[PROCESSES_DIFFER] rank 1 must train what rank 0 "
                                         "trains, but differs in ") +
                                 d.said));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    EXPECT_TRUE(contains(read_file(f.folder / "first-err"), "[PROCESSES_DIFFER]"));
    EXPECT_EQ(Json::parse(read_file(f.folder / "first-out")).at("error").at("code"),
              "PROCESS_LOST");
    EXPECT_FALSE(path_exists(f.folder / "differ"));
  }
}

}  // namespace
}  // namespace regroup::testing
