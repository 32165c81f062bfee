// What several processes do while the first of them prepares the data.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "regroup/base/path.h"
#include "support/devices.h"
#include "support/ranks.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

constexpr const char* kTokenizer = "../shared/tokenizers/tok512/tokenizer.model";

TEST(Preparation, ASignalToOneThatWaitsForItEndsAll) {
  if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  Fixture f;
  write_tiny_model(f.options.model, {.n_layers = 1, .vocab_size = 512});
  std::filesystem::copy_file(kTokenizer, f.options.model + "/tokenizer.model");
  std::string text;
  for (int i = 0; i < 60; ++i) text += fmt::format("Tom has {} kites.\n", i);
  UptrainOptions options = f.into("run");
  options.valid = "";
  options.documents.separator = "\n";  // a signal is heard between documents
  options.data = {f.folder.write("text.txt", text)};
  void* shared = ::mmap(nullptr, sizeof(std::atomic<pid_t>), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto& second = *new (shared) std::atomic<pid_t>(0);
  const auto train = [&](Processes& all) {
    install_stop_handlers();
    if (!all.is_first()) second = ::getpid();
    TrainObserver observer;
    observer.tokenizing = [&](const std::string&, double) {
      if (stop_signal() != 0) return;
      ::kill(second, SIGTERM);
      for (int i = 0; i < 3000 && stop_signal() == 0; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    };
    uptrain(options, observer, all);
  };
  EXPECT_EQ(run_ranks(2, train), (std::vector<int>{143, 143}));
  EXPECT_FALSE(path_exists(options.out));
  ::munmap(shared, sizeof(std::atomic<pid_t>));
}

}  // namespace
}  // namespace regroup::testing
