// What a run that ends before its first step leaves of the texts that it has tokenized.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "regroup/base/path.h"
#include "regroup/model/runtime.h"
#include "support/expect_error.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTokenizer = "../shared/tokenizers/tok512/tokenizer.model";

class KeptTokens : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
    write_tiny_model(f.options.model, {.n_layers = 1, .vocab_size = 512});
    fs::copy_file(kTokenizer, f.options.model + "/tokenizer.model");
    std::string text;  // more than 1 MiB of tokens
    for (int i = 0; i < 60'000; ++i) text += fmt::format("Tom has {} kites.\n", i);
    options = f.into("run");
    options.valid = "";
    options.documents.separator = "\n";  // a signal is heard between documents
    set_threads(1);
    options.data = {f.folder.write("first.txt", text), f.folder.write("second.txt", text)};
    observer.announced = [this](const std::string& said) { told += said + "\n"; };
    observer.tokenizing = [this](const std::string& path, double) {
      tokenized.insert(fs::path(path).filename().string());
      if (path == stops_in) set_stop_signal(SIGTERM);
    };
  }
  /// Names below OUT, sorted.
  std::vector<std::string> left() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(options.out)) {
      if (entry.is_directory()) continue;
      names.push_back(fs::relative(entry.path(), options.out).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  Fixture f;
  UptrainOptions options;
  TrainObserver observer;
  std::string told;
  std::set<std::string> tokenized;
  std::string stops_in;
};

const std::vector<std::string> kFirstAlone = {".lock", "data/00-first.bin",
                                              "data/00-first.bin.json", "recipe.toml"};

TEST_F(KeptTokens, AreUsedByTheNextRun) {
  TokenFileWriter others(f.folder / "others.bin", 1000);
  others.add(std::vector<int32_t>(100, 512));
  others.finish();
  const std::string second = options.data[1];
  options.data[1] = f.folder / "others.bin";  // ids beyond the vocabulary
  expect_error("TOKENS_RANGE", [&] { uptrain(options, observer); });
  EXPECT_EQ(left(), kFirstAlone);
  EXPECT_EQ(told, options.out + "/data: 1 token file is kept; the same command finds it there\n");
  tokenized.clear();
  options.data[1] = second;
  EXPECT_EQ(uptrain(options, observer).steps, 8);
  EXPECT_EQ(tokenized, std::set<std::string>{"second.txt"});
}

// The one that was being written goes; the next run takes up the rest.
TEST_F(KeptTokens, OutliveASignalInTheNextText) {
  stops_in = options.data[1];
  expect_error<Error>("INTERRUPTED", [&] { uptrain(options, observer); });
  set_stop_signal(0);
  EXPECT_EQ(left(), kFirstAlone);
  tokenized.clear();
  stops_in.clear();
  EXPECT_EQ(uptrain(options, observer).steps, 8);
  EXPECT_EQ(tokenized, std::set<std::string>{"second.txt"});
}

TEST_F(KeptTokens, NothingIsLeftWhereNoneIsFinishedOrTheyAreFew) {
  const auto stopped = [&] {
    expect_error<Error>("INTERRUPTED", [&] { uptrain(options, observer); });
    set_stop_signal(0);
    EXPECT_FALSE(path_exists(options.out));
    EXPECT_EQ(told, "");
  };
  stops_in = options.data[0];
  stopped();
  f.folder.write("first.txt", "Tom has a kite.");
  stops_in = options.data[1];
  stopped();
}

}  // namespace
}  // namespace regroup::testing
