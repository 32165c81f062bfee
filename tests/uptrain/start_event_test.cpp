// What the first line of metrics.jsonl says of a run: enough to compare its curve with another's.
#include <gtest/gtest.h>

#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

Json start_of(const UptrainOptions& options) {
  uptrain(options, {});
  std::istringstream text(read_file(options.out + "/metrics.jsonl"));
  std::string line;
  std::getline(text, line);
  return Json::parse(line);
}

UptrainOptions one_step(const Fixture& f, const std::string& name) {
  UptrainOptions options = f.into(name);
  options.budget.steps = 1;
  return options;
}

TEST(StartEvent, SaysHowTheModelWasConverted) {
  const Fixture f;
  const Json manifest = {
      {"format", "regroup-manifest/1"},
      {"method", {{"name", "pca"}, {"n_kv_heads", {{"before", 8}, {"after", 2}}}}},
      {"arguments", {{"calibration", {{"tokens", 40000}}}}}};
  f.folder.write("parent/regroup.json", manifest.dump());
  const Json start = start_of(one_step(f, "run"));
  EXPECT_EQ(start.at("event"), "start");
  EXPECT_EQ(start.at("step"), 0);
  EXPECT_EQ(start.at("conversion"), (Json{{"method", "pca"},
                                          {"calibrated", true},
                                          {"n_kv_heads", {{"before", 8}, {"after", 2}}}}));
  EXPECT_TRUE(start.at("val_loss").is_number());
}

TEST(StartEvent, KnowsNoConversionWithoutAManifestOfOne) {
  for (const char* manifest :
       {"", "{", "[]", "{}", R"({"format": "regroup-manifest/1", "method": {"name": "uptrain"}})",
        R"({"format": "regroup-manifest/9", "method": {"name": "mean", "n_kv_heads":
            {"before": 2, "after": 1}}, "arguments": {}})",
        R"({"format": "regroup-manifest/1", "method": {"name": 3, "n_kv_heads":
            {"before": 2, "after": 1}}, "arguments": {}})"}) {
    SCOPED_TRACE(manifest);
    const Fixture f;
    if (*manifest != '\0') f.folder.write("parent/regroup.json", manifest);
    EXPECT_TRUE(start_of(one_step(f, "run")).at("conversion").is_null());
  }
}

TEST(StartEvent, NamesTheValidationTextByItsContent) {
  const Fixture f;
  UptrainOptions longer = one_step(f, "b");
  longer.seq_len = 8;
  UptrainOptions without = one_step(f, "c");
  without.valid = "";
  const Json start = start_of(one_step(f, "a"));
  EXPECT_EQ(start.at("valid").get<std::string>().size(), 32u);
  EXPECT_EQ(start_of(longer).at("valid"), start.at("valid"));
  EXPECT_TRUE(start_of(without).at("valid").is_null());
}

TEST(StartEvent, ValidatesOnTheFirstTokensAlone) {
  const Fixture f;
  const Json all = start_of(one_step(f, "all"));
  UptrainOptions some = one_step(f, "some");
  some.valid_tokens = 40;
  const Json first = start_of(some);
  EXPECT_NE(first.at("valid"), all.at("valid"));
  EXPECT_NE(first.at("val_loss"), all.at("val_loss"));
  UptrainOptions many = one_step(f, "many");
  many.valid_tokens = 1'000'000;
  EXPECT_EQ(start_of(many).at("val_loss"), all.at("val_loss"));
}

TEST(StartEvent, SaysWhatIsLearntFromATeacher) {
  const Fixture f;
  const Json alone = start_of(one_step(f, "a"));
  EXPECT_TRUE(alone.at("teacher").is_null());
  EXPECT_TRUE(alone.at("kl_weight").is_null());
  EXPECT_TRUE(alone.at("temperature").is_null());
  UptrainOptions options = one_step(f, "b");
  options.teacher = f.folder / "parent";
  options.kl_weight = 0.75;
  options.temperature = 2;
  const Json start = start_of(options);
  EXPECT_EQ(start.at("teacher"), options.teacher);
  EXPECT_EQ(start.at("kl_weight"), 0.75);
  EXPECT_EQ(start.at("temperature"), 2);
}

}  // namespace
}  // namespace regroup::testing
