// How far single tokens are from the baseline's: table, curve, and the forms for programs.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "report_files.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

constexpr const char* kDistances =
    R"(, "kl,none": 0.25, "kl_stderr,none": 0.01, "top1_agreement,none": 0.875, "top1_agreement_stderr,none": 0.004,
 "kl_p50,none": 0.125, "kl_p50_stderr,none": 0.005, "kl_p90,none": 0.5, "kl_p90_stderr,none": 0.02, "kl_p99,none": 2.0,
 "kl_p99_stderr,none": "N/A", "kl_max,none": 8.5, "kl_max_stderr,none": "N/A", "delta_p,none": -0.0125,
 "delta_p_stderr,none": 0.001, "nll_correlation,none": 0.96875, "nll_correlation_stderr,none": 0.003, "rms_delta_p,none": 0.0625, "rms_delta_p_stderr,none": 0.002)";
constexpr const char* kCurve =
    R"("fidelity": {"valid": {"tokens": 19999, "quantiles": [0, 0.01, 0.5, 0.9, 1], "kl": [0, 0.001, 0.125, 0.5, 8.5],
 "kl_low": [null, 0.0005, 0.115, 0.46, null], "kl_high": [null, 0.002, 0.135, 0.54, null],
 "delta_p": [-0.75, -0.25, 0, 0.01, 0.5], "delta_p_low": [null, -0.3, 0, 0.005, null],
 "delta_p_high": [null, -0.2, 0, 0.015, null]}}, )";

std::string with_curve(std::string model, const std::string& curve = kCurve) {
  const std::string about = R"("regroup": {)";
  return model.insert(model.find(about) + about.size(), curve);
}

Files compared() {
  Files files;
  files.add("eval.json", models({model_json("baseline", 8, 1.387, ", \"kl_p50,none\": 0.0"),
                                 with_curve(model_json("converted", 4, 3.15, kDistances))}));
  return files;
}

TEST(TokenDistances, EveryNumberHasItsIntervalOrError) {
  const std::string markdown = report_markdown(compared().gather());
  EXPECT_TRUE(
      contains(markdown,
               "**valid: KL(before ‖ model) of single tokens, nats**\n\n"
               "| Model | KV heads | Tokens | Mean | Median | 90 % | 99 % | 99.9 % | Largest |\n"
               "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
               "| converted | 4 | 19,999 | 0.250 ± 0.010 | 0.125 (0.115 to 0.135) | 0.5 (0.46 to "
               "0.54) | 2 | – | 8.5 |\n"))
      << markdown;
  EXPECT_TRUE(contains(markdown,
                       "| converted | 4 | 19,999 | -1.25 ± 0.10 | 6.25 ± 0.20 | -25 (-30 to -20) | "
                       "0 (0 to 0) | – | 87.50 % ± 0.40 | 96.88 % ± 0.30 |\n"))
      << markdown;
  EXPECT_TRUE(contains(
      markdown, "| converted, 4 KV heads | 90 % | 0.5 (0.46 to 0.54) | 1 % (0.5 to 1.5) |\n"))
      << markdown;
  EXPECT_FALSE(contains(markdown, "| before | 8 | 19,999 |"))
      << "against itself it has nothing to show";
}

TEST(TokenDistances, TheCurveIsLogarithmic) {
  const std::string html = report_html(compared().gather());
  EXPECT_TRUE(contains(html, "<section id=\"fidelity\">"));
  EXPECT_TRUE(contains(html, "valid: KL to before, by how rare it is"));
  EXPECT_TRUE(contains(html, "converted, 4 KV heads, 90 %: 0.5</title>"));
  EXPECT_TRUE(contains(html, "converted, 4 KV heads, largest: 8.5</title>"));
  EXPECT_FALSE(contains(html, "converted, 4 KV heads, lowest: 0</title>"))
      << "a logarithm has no 0";
  EXPECT_TRUE(contains(html, ">10 k</text>"));
}

// 3 is the uptrained one's colour, 5 the control's: an uptrained model with the baseline's heads.
TEST(TokenDistances, TheControlHasItsOwnColour) {
  Files files;
  files.add("eval.json", models({model_json("baseline", 8, 1.387, ", \"kl_p50,none\": 0.0"),
                                 with_curve(model_json("uptrained", 8, 1.4, kDistances)),
                                 with_curve(model_json("uptrained", 4, 1.5, kDistances))}));
  const std::string html = report_html(files.gather());
  const auto colour_of = [&](const std::string& name) {
    const size_t point = html.find(name + ", 90 %: 0.5</title>");
    const size_t group = html.rfind("<g class=\"c", point);
    return point == std::string::npos ? "" : html.substr(group, 13);
  };
  EXPECT_EQ(colour_of("control, 8 KV heads"), "<g class=\"c5\"");
  EXPECT_EQ(colour_of("uptrained, 4 KV heads"), "<g class=\"c3\"");
}

TEST(TokenDistances, AreInCsvAndJson) {
  const ReportData data = compared().gather();
  const std::string csv = report_csv(data);
  EXPECT_TRUE(contains(csv, "fidelity,converted-4,converted,4,valid:kl,0.9,0.5,,19999\n")) << csv;
  EXPECT_TRUE(contains(csv, "fidelity,converted-4,converted,4,valid:delta_p,0.01,-0.25,,19999\n"));
  EXPECT_TRUE(
      contains(csv, "quality,converted-4,converted,4,valid:rms_delta_p,,0.0625,0.002,79\n"));
  const auto json = nlohmann::json::parse(report_json(data));
  const auto& score = json["models"][1]["scores"][0];
  EXPECT_EQ(score["kl_p50"]["value"], 0.125);
  EXPECT_EQ(score["fidelity"]["kl_high"][3], 0.54);
  EXPECT_TRUE(score["fidelity"]["kl_high"][4].is_null());
  EXPECT_FALSE(json["models"][0]["scores"][0].contains("fidelity"));
}

TEST(TokenDistances, ResultsWithoutThemHaveNoSection) {
  EXPECT_FALSE(contains(report_html(full().gather()), "id=\"fidelity\""));
}

// Zeros, as of a model that is the baseline: tables, and a chart without a line.
TEST(TokenDistances, OfTheSameModelAreZero) {
  Files files;
  files.add(
      "eval.json",
      models({kBaseline,
              with_curve(model_json("converted", 8, 1.387, ", \"kl,none\": 0.0"),
                         R"("fidelity": {"valid": {"tokens": 9, "quantiles": [0.5, 1], "kl": [0, 0],
                                 "delta_p": [0, 0]}}, )")}));
  const ReportData data = files.gather();
  EXPECT_TRUE(
      contains(report_markdown(data), "| converted | 8 | 19,999 | 0 | 0 | – | – | – | 0 |\n"))
      << report_markdown(data);
  EXPECT_FALSE(contains(report_html(data), "nan\"")) << "a coordinate";
}

TEST(TokenDistances, WrongTypesNameTheFile) {
  Files files;
  files.add("eval.json", with_curve(model_json("converted", 4, 3.15, ""),
                                    R"("fidelity": {"valid": {"quantiles": [0.5], "kl": "x"}}, )"));
  const ErrorInfo error = expect_error<CheckpointError>("CFG_TYPE", [&] { files.gather(); });
  EXPECT_TRUE(error.path.ends_with("eval.json")) << error.path;
}

}  // namespace
}  // namespace regroup::testing
