// Processes that have met: what their calls give, and what becomes of the others when one goes.
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "processes/c10d_transport.h"
#include "regroup/base/stop_signal.h"
#include "support/devices.h"
#include "support/expect_error.h"
#include "support/ranks.h"

namespace regroup::testing {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

std::vector<int> all_well(int size) { return std::vector<int>(static_cast<size_t>(size), 0); }

TEST(ProcessGroup, EveryCallGivesWhatItSays) {
  for (const int size : {2, 3, 4}) {
    const auto check = [&](Processes& all) {
      EXPECT_EQ(all.size(), size);
      EXPECT_EQ(all.sharing_processors(), size);
      const double ranks = size * (size - 1) / 2.0;
      const at::Tensor sum = at::full({5}, all.rank(), at::kDouble);
      all.all_reduce(sum);
      EXPECT_TRUE(at::equal(sum, at::full({5}, ranks, at::kDouble)));

      const at::Tensor whole = at::arange(4 * size, at::kFloat);
      all.reduce_scatter(whole.narrow(0, 4 * all.rank(), 4), whole);
      EXPECT_TRUE(at::equal(whole.narrow(0, 4 * all.rank(), 4),
                            at::arange(4 * all.rank(), 4 * all.rank() + 4, at::kFloat).mul(size)));

      // gloo itself gathers no bfloat16.
      const at::Tensor gathered = at::zeros({2 * size}, at::kBFloat16);
      all.all_gather(gathered, at::full({2}, all.rank() + 0.5, at::kBFloat16));
      for (int rank = 0; rank < size; ++rank) {
        EXPECT_EQ(gathered[2 * rank + 1].item<float>(), static_cast<float>(rank) + 0.5f);
      }
      const at::Tensor scalar = at::full({}, all.rank(), at::kFloat);
      all.broadcast(scalar, size - 1);
      EXPECT_EQ(scalar.item<float>(), static_cast<float>(size - 1));
      EXPECT_EQ(text_of_first(all, all.is_first() ? "a word" : "another"), "a word");
      EXPECT_EQ(text_of_first(all, all.is_first() ? "" : "another"), "");
    };
    EXPECT_EQ(run_ranks(size, check), all_well(size));
  }
}

// The others wait longer than they would for an answer.
TEST(ProcessGroup, TheFirstMayWorkAloneForLong) {
  const auto start = std::chrono::steady_clock::now();
  const auto check = [&](Processes& all) {
    bool worked = false;
    all.first_does([&] {
      worked = true;
      std::this_thread::sleep_for(2500ms);
    });
    EXPECT_EQ(worked, all.is_first());
    EXPECT_GE(std::chrono::steady_clock::now() - start, 2500ms);
    all.barrier();
  };
  EXPECT_EQ(run_ranks(2, check, 2s), all_well(2));
}

// Before anything is under way nobody has to wait; a checkpoint is written to its end.
TEST(ProcessGroup, ASignalToOneThatWaitsEndsPreparationsAlone) {
  const auto work = [] {
    for (int i = 0; i < 3000 && stop_signal() == 0; ++i) std::this_thread::sleep_for(20ms);
    throw_if_stopped(/*resumable=*/false);
  };
  const auto check = [&](Processes& all) {
    if (all.rank() == 1) set_stop_signal(SIGTERM);
    all.first_does([] { std::this_thread::sleep_for(300ms); });
    all.first_prepares(work);
    ADD_FAILURE() << "nothing was thrown";
  };
  EXPECT_EQ(run_ranks(3, check), (std::vector<int>{143, 143, 143}));
}

/// torchrun's agent, whose store outlives the first process.
struct Agent {
  int port = free_test_port();
  Keeper keeper{[this] {
    static const auto place =
        open_meeting_place({.rank = 0, .size = 1, .address = "127.0.0.1", .port = port}, 60s);
  }};
};

TEST(ProcessGroup, WhoIsKilledAtWorkForAllIsMissed) {
  for (const bool prepares : {true, false}) {
    const Agent agent;
    const auto check = [&](Processes& all) {
      const auto work = [] { ::raise(SIGKILL); };
      const ErrorInfo lost = expect_error<StoppedError>(
          "PROCESS_LOST", [&] { prepares ? all.first_prepares(work) : all.first_does(work); });
      EXPECT_TRUE(contains(lost.message, "because rank 0 of 3 (pid "));
      all.leave(StoppedError(lost));
    };
    EXPECT_EQ(run_ranks(3, check, 3600s, agent.port), (std::vector<int>{-SIGKILL, 0, 0}));
  }
}

// As one on a machine that was switched off.
TEST(ProcessGroup, WhoFallsSilentAtWorkForAllIsMissed) {
  const Agent agent;
  const auto check = [](Processes& all) {
    const ErrorInfo lost = expect_error<StoppedError>(
        "PROCESS_LOST", [&] { all.first_does([] { ::raise(SIGSTOP); }); });
    EXPECT_TRUE(contains(lost.message, "nothing was heard of its work for 2 s"));
    const std::string before = "because rank 0 of 2 (pid ";
    const size_t at = lost.message.find(before);
    ASSERT_NE(at, std::string::npos) << lost.message;
    ::kill(std::stoi(lost.message.substr(at + before.size())), SIGKILL);
  };
  EXPECT_EQ(run_ranks(2, check, 2s, agent.port), (std::vector<int>{-SIGKILL, 0}));
}

TEST(ProcessGroup, WhoIsKilledIsNamed) {
  const auto start = std::chrono::steady_clock::now();
  const auto check = [](Processes& all) {
    all.barrier();
    if (all.rank() == 1) ::raise(SIGKILL);
    const ErrorInfo lost = expect_error<StoppedError>("PROCESS_LOST", [&] {
      const at::Tensor values = at::zeros({1000}, at::kFloat);
      for (int i = 0; i < 3; ++i) all.all_reduce(values);
    });
    EXPECT_TRUE(contains(lost.message, "because rank 1 of 3 (pid "));
    EXPECT_TRUE(contains(lost.message, "ended without a word"));
    all.leave(StoppedError(lost));
  };
  EXPECT_EQ(run_ranks(3, check), (std::vector<int>{0, -SIGKILL, 0}));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 30s);
}

TEST(ProcessGroup, WhoDoesNotAnswerIsNamedAfterTheTimeout) {
  const auto check = [](Processes& all) {
    all.barrier();
    if (all.rank() == 1) {
      std::this_thread::sleep_for(16s);
      ::_exit(0);
    }
    const auto start = std::chrono::steady_clock::now();
    const ErrorInfo lost = expect_error<StoppedError>("PROCESS_LOST", [&] { all.barrier(); });
    EXPECT_GE(std::chrono::steady_clock::now() - start, 1900ms);
    EXPECT_TRUE(contains(lost.message, "because rank 1 of 2 (pid "));
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  };
  EXPECT_EQ(run_ranks(2, check, 2s), all_well(2));
}

// Everybody ends with the exit status of who failed, and says why that one did.
TEST(ProcessGroup, WhoFailsTellsTheOthersWhy) {
  for (const int failing : {0, 2}) {
    const auto check = [&](Processes& all) {
      all.barrier();
      if (all.rank() == failing) {
        throw CheckpointError({.code = "CKPT_STATE", .message = "is no state", .path = "x.json"});
      }
      try {
        if (failing == 0) all.first_does([] {});
        all.barrier();
        ADD_FAILURE() << "nothing was thrown";
      } catch (const Error& error) {
        EXPECT_EQ(error.info().code, "PROCESS_LOST");
        EXPECT_TRUE(contains(error.what(), fmt::format("rank {} of 3", failing)));
        EXPECT_TRUE(contains(error.what(), "[CKPT_STATE] x.json: is no state"));
        throw;
      }
    };
    EXPECT_EQ(run_ranks(3, check), (std::vector<int>{3, 3, 3})) << failing;
  }
}

TEST(ProcessGroup, WhoDoesNotComeIsNamed) {
  const Launch first = {.rank = 0, .size = 3, .address = "127.0.0.1", .port = free_test_port()};
  const ErrorInfo missing =
      expect_error<ConfigError>("PROCESSES_MEETING", [&] { join_processes(first, 1s); });
  EXPECT_TRUE(contains(missing.message, "within 1 s, ranks 1, 2 did not"));
  Launch second = first;
  second.rank = 1;
  second.port = free_test_port();
  const ErrorInfo nobody =
      expect_error<ConfigError>("PROCESSES_MEETING", [&] { join_processes(second, 1s); });
  EXPECT_TRUE(contains(nobody.message, fmt::format("127.0.0.1:{}", second.port)));
}

TEST(ProcessGroup, APortThatIsTakenIsNamed) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(socket.get(), any, size), 0);
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  ASSERT_EQ(::getsockname(socket.get(), any, &size), 0);
  const int port = ntohs(address.sin_port);
  const ErrorInfo taken = expect_error<ConfigError>("MASTER_PORT", [&] {
    join_processes({.rank = 0, .size = 2, .address = "127.0.0.1", .port = port}, 1s);
  });
  EXPECT_TRUE(contains(taken.message, fmt::format("port {} must be free", port)));
}

}  // namespace
}  // namespace regroup::testing
