// What becomes of a run in OUT when another one, or the same one again, is started there.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTokenizer = "../shared/tokenizers/tok512/tokenizer.model";

/// Lines of metrics.jsonl that hold the event "start".
int64_t starts(const std::string& out) {
  int64_t n = 0;
  std::istringstream text(read_file(out + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    n += Json::parse(line).value("event", "") == "start";
  }
  return n;
}

std::string write_ids(const Fixture& f, const std::string& name, const std::vector<int32_t>& ids) {
  TokenFileWriter writer(f.folder / name, 1000);
  writer.add(ids);
  writer.finish();
  return f.folder / name;
}

TEST(Overwrite, KeepsTheOldRunUntilTheNewOneHasPassedEveryCheck) {
  const Fixture f;
  const UptrainOptions good = f.into("run");
  uptrain(good, {});
  const std::string before = read_tree(good.out);
  const auto refused = [&](const std::string& why, auto&& change) {
    SCOPED_TRACE(why);
    UptrainOptions options = good;
    options.overwrite = true;
    change(options);
    EXPECT_THROW(uptrain(options, {}), Error);
    EXPECT_TRUE(read_tree(good.out) == before) << "the old run was touched";
  };
  fs::copy(f.folder / "parent", f.folder / "damaged");
  fs::resize_file(f.folder / "damaged/model.safetensors", 1000);
  f.folder.write("text.txt", "Once upon a time.");
  const std::string few = write_ids(f, "few.bin", {1, 2, 3});
  const std::string beyond = write_ids(f, "beyond.bin", std::vector<int32_t>(100, 64));
  refused("settings", [](auto& o) { o.min_learning_rate = 1; });
  refused("budget", [](auto& o) { o.budget = {}; });
  refused("model", [&](auto& o) { o.model = f.folder / "damaged"; });
  refused("no tokenizer", [&](auto& o) { o.data = {f.folder / "text.txt"}; });
  refused("too few tokens", [&](auto& o) { o.data = {few}; });
  refused("ids beyond the vocabulary", [&](auto& o) { o.data = {beyond}; });
  refused("no validation text", [&](auto& o) { o.valid = f.folder / "absent.txt"; });
}

TEST(Overwrite, ReplacesAFinishedRun) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  uptrain(options, {});
  options.learning_rate = 3e-3;
  options.overwrite = true;
  options.recipe_text = "[uptrain]\nlr = 3e-3\n";
  uptrain(options, {});
  UptrainOptions fresh = options;
  fresh.out = f.folder / "fresh";
  uptrain(fresh, {});
  EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(fresh.out + "/model"));
  EXPECT_EQ(step_lines(options.out), step_lines(fresh.out));
  EXPECT_EQ(starts(options.out), 1);
  EXPECT_EQ(read_file(options.out + "/recipe.toml"), options.recipe_text);
}

TEST(Overwrite, DropsAnInterruptedRunOfOtherSettings) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  stop_after(options, 3);
  options.overwrite = true;
  EXPECT_EQ(uptrain(options, {}).resumed_from, 3);  // the same settings: nothing to drop

  UptrainOptions other = f.into("other");
  stop_after(other, 3);
  other.learning_rate = 3e-3;
  other.overwrite = true;
  EXPECT_EQ(uptrain(other, {}).resumed_from, std::nullopt);
  EXPECT_EQ(step_lines(other.out).size(), 8u);
  EXPECT_EQ(starts(other.out), 1);
}

TEST(Overwrite, ReplacesTokenizedText) {
  if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  Fixture f;
  write_tiny_model(f.options.model, {.n_layers = 1, .vocab_size = 512});
  fs::copy_file(kTokenizer, f.options.model + "/tokenizer.model");
  std::string text;
  for (int i = 0; i < 60; ++i) text += fmt::format("Tom has {} kites. ", i);
  f.options.data = {f.folder.write("text.txt", text)};
  f.options.valid = "";
  UptrainOptions options = f.into("run");
  uptrain(options, {});
  const std::string before = read_tree(options.out);

  options.overwrite = true;
  f.folder.write("text.txt", "Too short.");
  expect_error("TEXT_TOO_SHORT", [&] { uptrain(options, {}); });
  EXPECT_TRUE(read_tree(options.out) == before) << "the old run was touched";

  f.folder.write("text.txt", text + "And one ball.");
  uptrain(options, {});
  EXPECT_FALSE(read_file(options.out + "/data/00-text.bin").empty());
  EXPECT_FALSE(read_tree(options.out) == before);
  EXPECT_FALSE(path_exists(options.out + "/data.partial"));
  EXPECT_EQ(starts(options.out), 1);
}

// Killed before its first checkpoint, a run begins again, and so do its records.
TEST(Restart, MetricsStartAfresh) {
  const Fixture f;
  uptrain(f.into("whole"), {});
  const UptrainOptions options = f.into("killed");
  TrainObserver observer;
  observer.stepped = [](const StepMetrics& m, int64_t) {
    if (m.step == 2) throw std::runtime_error("as if killed");
  };
  EXPECT_THROW(uptrain(options, observer), std::runtime_error);
  EXPECT_EQ(starts(options.out), 1);
  EXPECT_EQ(step_lines(options.out).size(), 2u);
  EXPECT_EQ(uptrain(options, {}).resumed_from, std::nullopt);
  EXPECT_EQ(starts(options.out), 1);
  EXPECT_EQ(step_lines(options.out), step_lines(f.folder / "whole"));
  EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(f.folder / "whole/model"));
}

}  // namespace
}  // namespace regroup::testing
