// `compare`: what it measures is what convert would write, and report and plan read it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "regroup/base/path.h"
#include "regroup/base/strict_json.h"
#include "support/expect_error.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTokenizer = "../shared/tokenizers/tok512/tokenizer.model";

class Compare : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
    write_tiny_model(folder_ / "parent", {.n_layers = 2, .vocab_size = 512});
    fs::copy_file(kTokenizer, (folder_ / "parent") + "/tokenizer.model");
    std::string text;
    for (int i = 0; i < 90; ++i) text += fmt::format("Tom has {} kites and one ball. ", i);
    folder_.write("text.txt", text);
  }

  static Finished regroup(std::vector<std::string> line) {
    line.insert(line.end(), {"--device", "cpu", "--threads", "1", "--json", "--quiet"});
    return run_process(REGROUP_BINARY, line);
  }

  Finished compare(const std::vector<std::string>& more) const {
    std::vector<std::string> line = {
        "compare", folder_ / "parent", "--text", folder_ / "text.txt", "--seq-len",
        "16",      "--max-tokens",     "400"};
    line.insert(line.end(), more.begin(), more.end());
    return regroup(line);
  }

  std::string error_code(const std::vector<std::string>& more) const {
    const Finished run = compare(more);
    return run.exit_code == 0 ? "" : Json::parse(run.out).at("error").at("code").get<std::string>();
  }

  /// Loss, KL and agreement of the folder that convert writes.
  Json evaluated(std::vector<std::string> conversion) const {
    fs::remove_all(folder_ / "converted");
    conversion.insert(conversion.begin(), {"convert", folder_ / "parent", folder_ / "converted"});
    const Finished made = regroup(conversion);
    EXPECT_EQ(made.exit_code, 0) << made.out << made.err;
    const Finished run =
        regroup({"eval", folder_ / "converted", "--baseline", folder_ / "parent", "--text",
                 folder_ / "text.txt", "--seq-len", "16", "--max-tokens", "400"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return Json::parse(run.out).at("results").at("text");
  }

  static void expect_same(const Json& entry, const Json& evaluated) {
    EXPECT_NEAR(entry.at("loss").get<double>(), evaluated.at("loss,none").get<double>(), 1e-6);
    const double kl = evaluated.at("kl,none").get<double>();
    EXPECT_NEAR(entry.at("kl").get<double>(), kl, 1e-3 * kl) << kl;
    EXPECT_NEAR(entry.at("loss_delta_stderr").get<double>(),
                evaluated.at("loss_delta_stderr,none").get<double>(), 1e-6);
    EXPECT_EQ(entry.at("top1_agreement"), evaluated.at("top1_agreement,none"));
  }

  TemporaryFolder folder_;
};

TEST_F(Compare, MeasuresWhatConvertWouldWrite) {
  const Finished run = compare({"--methods", "mean,random,prune,pca", "--kv-heads", "2,1"});
  ASSERT_EQ(run.exit_code, 0) << run.out << run.err;
  const Json json = Json::parse(run.out);
  ASSERT_EQ(json.at("damage").size(), 8U);
  for (const Json& entry : json.at("damage")) {
    SCOPED_TRACE(entry.at("method").get<std::string>());
    expect_same(entry, evaluated({"--method", entry.at("method").get<std::string>(), "--kv-heads",
                                  std::to_string(entry.at("n_kv_heads").get<int>())}));
  }
  for (const auto& file : fs::directory_iterator(folder_.path())) {
    const std::string name = file.path().filename();
    EXPECT_TRUE(name == "parent" || name == "text.txt" || name == "converted") << name;
  }
}

TEST_F(Compare, MeasuresCalibratedLayersToo) {
  const std::vector<std::string> text = {
      "--calibration", folder_ / "text.txt", "--calibration-seq-len", "16", "--layer-steps", "4"};
  std::vector<std::string> flags = {"--methods", "pca", "--kv-heads", "2"};
  flags.insert(flags.end(), text.begin(), text.end());
  const Finished run = compare(flags);
  ASSERT_EQ(run.exit_code, 0) << run.out << run.err;
  const Json entry = Json::parse(run.out).at("damage").at(0);
  EXPECT_GT(entry.at("flops").get<double>(), 0);
  std::vector<std::string> conversion = {"--kv-heads", "2"};
  conversion.insert(conversion.end(), text.begin(), text.end());
  expect_same(entry, evaluated(conversion));
}

TEST_F(Compare, TheParentsOwnNumberOfHeadsCostsNothing) {
  const Finished run = compare({"--methods", "pca", "--kv-heads", "4", "--per-layer"});
  ASSERT_EQ(run.exit_code, 0) << run.out << run.err;
  const Json entry = Json::parse(run.out).at("damage").at(0);
  EXPECT_EQ(entry.at("kl"), 0.0);
  EXPECT_EQ(entry.at("top1_agreement"), 1.0);
  for (const Json& layer : entry.at("layers")) EXPECT_EQ(layer.at("alone_kl"), 0.0);
}

TEST_F(Compare, OneLayerAloneIsAllThereIsInAModelOfOneLayer) {
  write_tiny_model(folder_ / "one", {.n_layers = 1, .vocab_size = 512});
  fs::copy_file(kTokenizer, (folder_ / "one") + "/tokenizer.model");
  const Finished run = regroup({"compare", folder_ / "one", "--text", folder_ / "text.txt",
                                "--methods", "pca,mean", "--kv-heads", "2", "--per-layer",
                                "--layer-tokens", "400", "--seq-len", "16", "--max-tokens", "400"});
  ASSERT_EQ(run.exit_code, 0) << run.out << run.err;
  const Json damage = Json::parse(run.out).at("damage");
  ASSERT_EQ(damage.size(), 2U);
  for (const Json& entry : damage) {
    EXPECT_GT(entry.at("kl").get<double>(), 0);
    const double kl = entry.at("kl").get<double>();
    EXPECT_NEAR(entry.at("layers").at(0).at("alone_kl").get<double>(), kl, 1e-3 * kl) << kl;
    EXPECT_GT(entry.at("layers").at(0).at("key_residual").get<double>(), 0);
  }
}

TEST_F(Compare, ReportAndPlanReadIt) {
  const std::string out = folder_ / "damage.json";
  ASSERT_EQ(compare({"--methods", "mean,pca", "--kv-heads", "2,1", "--out", out}).exit_code, 0);
  const Finished report = regroup({"report", out, "--out", folder_ / "damage.html"});
  ASSERT_EQ(report.exit_code, 0) << report.out << report.err;
  const std::string html = read_file(folder_ / "damage.html");
  EXPECT_TRUE(contains(html, "What conversion alone costs"));
  EXPECT_TRUE(contains(html, "Keys lost by layer"));
  EXPECT_TRUE(contains(Json::parse(report.out).at("verdict").at(0), "Least damage: 2 KV heads"));

  const Finished plan =
      regroup({"plan", folder_ / "parent", "--damage", out, "--max-loss-increase", "1000"});
  ASSERT_EQ(plan.exit_code, 0) << plan.out << plan.err;
  const Json json = Json::parse(plan.out);
  EXPECT_EQ(json.at("smallest_kv_heads"), 1);
  EXPECT_TRUE(json.at("options").at(1).contains("damage"));
  const Finished nothing =
      regroup({"plan", folder_ / "parent", "--damage", out, "--max-loss-increase", "-1000"});
  EXPECT_TRUE(Json::parse(nothing.out).at("smallest_kv_heads").is_null());
}

// For a model whose tokenizer is not read: the same tokens from a file.
TEST_F(Compare, MeasuresOnATokenFile) {
  const std::string file = folder_ / "text.bin";
  ASSERT_EQ(
      regroup({"tokenize", folder_ / "parent", folder_ / "text.txt", "--out", file}).exit_code, 0);
  const auto measured = [&](const std::string& text) {
    const Finished run = regroup({"compare", folder_ / "parent", "--text", text, "--seq-len", "16",
                                  "--max-tokens", "400", "--kv-heads", "2", "--methods", "mean"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    Json result = Json::parse(run.out);
    result.at("damage").at(0).erase("seconds");
    return result;
  };
  const Json by_text = measured(folder_ / "text.txt");
  fs::remove((folder_ / "parent") + "/tokenizer.model");
  const Json by_tokens = measured(file);
  EXPECT_EQ(by_tokens.at("parent"), by_text.at("parent"));
  EXPECT_EQ(by_tokens.at("damage"), by_text.at("damage"));
  EXPECT_EQ(by_tokens.at("tokens"), by_text.at("tokens"));
}

TEST_F(Compare, RefusesWhatCannotBeMeasured) {
  EXPECT_EQ(error_code({"--kv-heads", "3"}), "KV_HEADS");
  EXPECT_EQ(error_code({"--kv-heads", "2", "--methods", "men"}), "METHOD_UNKNOWN");
  EXPECT_EQ(error_code({"--kv-heads", "2", "--layer-steps", "5"}), "FLAG_MISSING");
  const auto text_error = [&](const std::string& text) {
    const Finished run =
        regroup({"compare", folder_ / "parent", "--text", text, "--kv-heads", "2"});
    return Json::parse(run.out).at("error").at("code").get<std::string>();
  };
  EXPECT_EQ(text_error(folder_.write("notes.md", "Tom")), "TEXT_KIND");
  EXPECT_EQ(text_error(folder_.write("short.bin", "Tom")), "TOKENS_FORMAT");
  EXPECT_EQ(error_code({"--kv-heads", "2", "--out", folder_ / "no/such/damage.json"}),
            "OUTPUT_PARENT");
  EXPECT_EQ(error_code({"--kv-heads", "2", "--per-layer", "--calibration", folder_ / "text.txt"}),
            "FLAG_VALUE");
  EXPECT_EQ(error_code({"--kv-heads", "2", "--layer-tokens", "9"}), "FLAG_MISSING");
  EXPECT_EQ(error_code({"--kv-heads", "2", "--per-layer", "--layer-tokens", "1"}), "FLAG_VALUE");
  const auto plan_error = [&](const std::vector<std::string>& more) {
    std::vector<std::string> line = {"plan", folder_ / "parent"};
    line.insert(line.end(), more.begin(), more.end());
    return Json::parse(regroup(line).out).at("error").at("code").get<std::string>();
  };
  EXPECT_EQ(plan_error({"--max-loss-increase", "1"}), "FLAG_MISSING");
  EXPECT_EQ(plan_error({"--damage", (folder_ / "parent") + "/config.json"}), "DAMAGE_FILE");
  // A number that is missing is not a conversion that costs nothing.
  const std::string parent =
      R"("parent": {"n_layers": 2, "head_dim": 8, "n_kv_heads": 4, "loss": 1.0})";
  const std::string head = R"({"format": "regroup-damage/1", )" + parent + R"(, "damage": [)";
  const std::string entry =
      R"("n_kv_heads": 2, "layers": [], "loss": 1, "kl": 1, "top1_agreement": 0)";
  EXPECT_EQ(plan_error({"--damage", folder_.write("d.json", head + "{" + entry + "}]}")}),
            "CFG_TYPE");
  const std::string other =
      std::regex_replace(head, std::regex("\"n_layers\": 2"), "\"n_layers\": 3");
  EXPECT_EQ(plan_error({"--damage", folder_.write("e.json", other + "]}")}), "DAMAGE_MODEL");
}

}  // namespace
}  // namespace regroup::testing
