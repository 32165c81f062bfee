#include "regroup/report/report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "markup.h"
#include "regroup/base/error.h"
#include "regroup/base/strict_json.h"
#include "report_data.h"
#include "report_files.h"
#include "report_numbers.h"

namespace regroup {
namespace {

using namespace testing;

// ---- numbers

TEST(Numbers, HaveTwoDigitsOfTheirStandardError) {
  EXPECT_EQ(measured_text(Measured{1.42819, 0.01849}), "1.428 ± 0.018");
  EXPECT_EQ(measured_text(Measured{94.694, 2.787}), "94.7 ± 2.8");
  EXPECT_EQ(measured_text(Measured{-0.0001, 0.01}), "0.000 ± 0.010");
  EXPECT_EQ(measured_text(Measured{-0.001, 0.01}), "-0.001 ± 0.010");
  EXPECT_EQ(measured_text(Measured{1234.5, 45.6}), "1234 ± 46");
  EXPECT_EQ(measured_text(Measured{0.93128, 0.00579}, 100, " %"), "93.13 ± 0.58 %");
  EXPECT_EQ(measured_text(Measured{0.5, 0}), "0.5");
  EXPECT_EQ(measured_text(Measured{1.23456, std::nullopt}), "1.235");
  EXPECT_EQ(measured_text(std::nullopt), "–");
  EXPECT_EQ(measured_text(Measured{std::nan(""), 1}), "–");
  EXPECT_EQ(memory_share(3, 8), "37.5 % of the memory");
  EXPECT_EQ(grouped_digits(614400), "614,400");
  EXPECT_EQ(grouped_digits(100), "100");
  EXPECT_EQ(grouped_digits(-1000), "-1,000");
}

TEST(Quality, TheTableHoldsWhatEvalMeasured) {
  const std::string markdown = report_markdown(full().gather());
  EXPECT_NE(
      markdown.find("**valid: 19,999 tokens scored, windows of 256 tokens**\n\n"
                    "| Model | KV heads | KV cache a token | Loss | Loss − before | Recovery |\n"
                    "|---|---:|---:|---:|---:|---:|\n"
                    "| before | 8 | 2.5 KiB | 1.387 ± 0.018 | – | – |\n"
                    "| converted | 4 | 1.25 KiB | 3.150 ± 0.018 | 1.763 ± 0.020 | – |\n"
                    "| uptrained | 4 | 1.25 KiB | 1.510 ± 0.018 | 0.1230 ± 0.0040 | 93.10 % ± "
                    "0.60 |\n"),
      std::string::npos)
      << markdown;
}

TEST(Quality, LaterFilesFillWhatEarlierOnesLack) {
  // The stages of a run: first parent and converted, then all three; the first had no recovery.
  Files files;
  files.add("a.json", models({model_json("model", 8, 1.387, ""), kConverted}))
      .add("b.json", models({kBaseline, kConverted, kUptrained}));
  EXPECT_EQ(files.gather().models.size(), 4u);  // another name and digest: another model
  Files again;
  again.add("a.json", models({kBaseline, kConverted}))
      .add("b.json", models({kBaseline, kConverted, kUptrained}));
  EXPECT_EQ(again.gather().models.size(), 3u);
}

TEST(Quality, SaysWhereInTheWindowItIsLost) {
  std::string converted = kConverted;
  const std::string damage =
      R"("damage": {"valid": {"windows": 79, "collapsed_windows": 2,
       "positions": [{"first": 0, "end": 1, "tokens": 79, "loss_delta": 0.25, "kl": 0.5, "top1_agreement": 0.5},
                     {"first": 1, "end": 256, "tokens": 19920, "loss_delta": -0.0625, "kl": 0.5, "top1_agreement": 0.5}],
       "worst_windows": [{"window": 7, "first_token": 1792, "loss_before": 3.281, "loss": 15.5}]}}, )";
  const std::string about = R"("regroup": {)";
  converted.insert(converted.find(about) + about.size(), damage);
  Files files;
  files.add("eval.json", models({kBaseline, converted}));
  const std::string markdown = report_markdown(files.gather());
  EXPECT_NE(markdown.find("**Loss − before by position in the window: valid in windows of 256**"),
            std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find(
                "+0.250 | -0.062 | 3.281 → 15.5 (from token 1,792; 2 of 79 windows collapsed) |"),
            std::string::npos)
      << markdown;
  EXPECT_EQ(report_markdown(full().gather()).find("by position"), std::string::npos);
}

// ---- uptraining logs

TEST(Metrics, ATornLastLineIsLeftOut) {
  const ReportData whole = Files().add("m.jsonl", kMetrics).gather();
  const ReportData torn =
      Files().add("m.jsonl", kMetrics + "{\"step\":301,\"tokens\":616448,\"lo").gather();
  ASSERT_EQ(torn.uptrainings.size(), 1u);
  EXPECT_EQ(torn.uptrainings[0].steps, 300);
  EXPECT_EQ(torn.uptrainings[0].seconds, 0.75);
  EXPECT_EQ(report_csv(torn), report_csv(whole));
}

TEST(Metrics, ATornLineInTheMiddleIsAnError) {
  const std::string text = "{\"step\":1,\"loss\":2}\n{\"step\":2,\"lo\n{\"step\":3,\"loss\":2}\n";
  Files files;
  files.add("m.jsonl", text);
  try {
    files.gather();
    ADD_FAILURE() << "accepted";
  } catch (const CheckpointError& error) {
    EXPECT_EQ(error.info().code, "JSON_SYNTAX");
    EXPECT_EQ(error.info().path, files.paths()[0] + ":2");
  }
}

TEST(Metrics, StepsThatAResumeRepeatsCountOnce) {
  const std::string text =
      "{\"step\":1,\"tokens\":10,\"loss\":3}\n{\"step\":2,\"tokens\":20,\"loss\":9}\n"
      "{\"event\":\"resume\",\"step\":1}\n{\"step\":2,\"tokens\":20,\"loss\":2}\n";
  const ReportUptraining run = Files().add("m.jsonl", text).gather().uptrainings.at(0);
  ASSERT_EQ(run.train.size(), 2u);
  EXPECT_EQ(run.train[1].loss, 2);
}

// The loss of a run with a teacher is a divergence; the validation loss beside it is a cross-entropy.
TEST(Metrics, WithATeacherTheCurveIsTheCrossEntropy) {
  const std::string text =
      R"({"event":"start","step":0,"model":"c","n_kv_heads":4,"n_params":9,"teacher":"p","steps":1}
{"step":1,"tokens":64,"loss":0.25,"ce":1.75,"kl":0.25,"step_s":1,"val_loss":1.5}
)";
  const ReportUptraining run = Files().add("m.jsonl", text).gather().uptrainings.at(0);
  EXPECT_EQ(run.teacher, "p");
  ASSERT_EQ(run.train.size(), 1u);
  EXPECT_EQ(run.train[0].loss, 1.75);
}

TEST(Metrics, ALongCurveBecomesMeansOfEqualBuckets) {
  const std::vector<CurvePoint> points = {
      {1, 10, 4}, {2, 20, 2}, {3, 30, 6}, {4, 40, 8}, {5, 50, 1}};
  const std::vector<CurvePoint> thin = thin_curve(points, 3);  // buckets of ceil(5 / 3) = 2
  ASSERT_EQ(thin.size(), 3u);
  EXPECT_EQ(thin[0].loss, 3);
  EXPECT_EQ(thin[0].tokens, 20);
  EXPECT_EQ(thin[1].loss, 7);
  EXPECT_EQ(thin[2].loss, 1);
  EXPECT_EQ(thin_curve(points, 5).size(), 5u);
}

TEST(Metrics, ThreeThousandStepsMakeASmallPage) {
  std::string text = kMetrics.substr(0, kMetrics.find('\n') + 1);
  for (int step = 1; step <= 3000; ++step) {
    text += fmt::format("{{\"step\":{},\"tokens\":{},\"loss\":{},\"val_loss\":2}}\n", step,
                        step * 2048, 1 + 1.0 / step);
  }
  Files files;
  files.add("e.json", models({kBaseline, kConverted, kUptrained})).add("m.jsonl", text);
  const ReportData data = files.gather();
  EXPECT_LE(data.uptrainings[0].train.size(), kCurvePoints);
  EXPECT_EQ(data.uptrainings[0].tokens, 3000 * 2048);
  EXPECT_LT(report_html(data).size(), 2u << 20);
}

TEST(Curve, ShowsTheLinesOfBeforeAndConverted) {
  const std::string html = report_html(full().gather());
  EXPECT_NE(html.find(">converted 3.15</text>"), std::string::npos);
  EXPECT_NE(html.find(">before 1.387</text>"), std::string::npos);
  EXPECT_NE(html.find("step 300, 614,400 tokens: loss 1.6</title>"), std::string::npos);
}

// ---- the other inputs

const std::string kPlan = R"({"model": {"architecture": "Llama", "n_kv_heads": 8}, "context": 4096,
 "batch": 16, "gpu_memory_bytes": 1073741824, "kv_dtype": "bf16", "recommended_kv_heads": 4,
 "why": "4 are the most that fit", "warnings": ["beyond the model's limit"], "options": [
 {"n_kv_heads": 8, "group_size": 1, "kv_bytes_per_token": 1024, "kv_bytes": 67108864,
  "weight_bytes": 1048576, "n_params": 1, "total_bytes": 68157440, "fits": false, "max_batch": 8,
  "max_context": null},
 {"n_kv_heads": 4, "group_size": 2, "kv_bytes_per_token": 512, "kv_bytes": 33554432,
  "weight_bytes": 1048576, "n_params": 1, "total_bytes": 34603008, "fits": true, "max_batch": 17,
  "max_context": 9000}]})";

TEST(Memory, SaysWhatTheSmallerCacheMeansToTheUser) {
  const std::string markdown = report_markdown(full().add("p.json", kPlan).gather());
  EXPECT_NE(
      markdown.find("At a context of 4,096 tokens and a batch of 16, cached as bf16: 4 KV heads "
                    "instead of 8 need 32 MiB of cache instead of 64 MiB, and 1 GiB holds 17 "
                    "sequences of this length instead of 8.\n"),
      std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("| 8 (as it is) | 1 KiB | 64 MiB | 1 MiB | 65 MiB | no | 8 | – |\n"),
            std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("Warning: beyond the model's limit"), std::string::npos);
}

const std::string kReplay = R"({"format": "regroup replay/1",
 "model": {"family": "llama", "architecture": "Llama", "n_kv_heads": 8},
 "trace": {"name": "monday.csv", "requests": 1200, "seconds": 3725, "unordered": 0},
 "settings": {"devices": 1, "memory_bytes": 1073741824}, "options": [
 {"n_kv_heads": 8, "completed": 1190, "rejected": 10, "preemptions": 7, "budget_bytes": 536870912,
  "tokens_per_s": 512.5, "cost_per_million_tokens": 1.5,
  "concurrency": {"mean": 3.25, "std": 1.5, "p50": 3, "p99": 7},
  "kv_bytes": {"mean": 1048576, "std": 524288, "p50": 1048576, "p99": 3145728},
  "queue_s": {"p50": 0.25, "p99": 12.5}, "ttft_s": {"p50": 0.5, "p99": 13},
  "tpot_s": {"p50": 0.015, "p99": 0.02}}]})";

TEST(ReplayedTrace, ShowsWaitingAndCache) {
  const std::string markdown = report_markdown(Files().add("r.json", kReplay).gather());
  EXPECT_NE(
      markdown.find("Llama: 1,200 requests of monday.csv in 1 h 02 min, on one device of 1 GiB."),
      std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("| 8 (as it is) | 1,190 (10 too long) | 512.5 | 250 ms (12.5 s) | 500 ms "
                          "(13 s) | 15 ms (20 ms) | 1.5 |\n"),
            std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("| 8 | 512 MiB | 1 MiB ± 512 KiB | 3 MiB | 3.2 ± 1.5 | 7 |\n"),
            std::string::npos)
      << markdown;
}

TEST(ReplayedTrace, IsInCsvAndJson) {
  const ReportData data = Files().add("r.json", kReplay).gather();
  EXPECT_NE(report_csv(data).find("replay,\"Llama on monday.csv\",,8,ttft_s_p99,,13,"),
            std::string::npos)
      << report_csv(data);
  EXPECT_NE(report_json(data).find("\"cost_per_million_tokens\": 1.5"), std::string::npos)
      << report_json(data);
}

TEST(Provenance, HoldsCommandsDigestsAndVersions) {
  Files files;
  files
      .add("run.json", R"({"recipe": {"path": "r.toml", "text": "[eval]\nseq-len = 5\n"},
 "version": "0.1.0", "stages": [{"name": "eval", "arguments": ["eval", "a b", "it's", "--seq-len=5"],
 "state": "done", "seconds": 75, "inputs": {"model": "sha256:77"}}]})")
      .add("convert.json",
           R"({"model": "p", "out": "c", "method": "mean", "n_kv_heads": {"before": 8,
 "after": 4}, "digests": {"model.safetensors": "aa11"}})")
      .add("regroup.json",
           R"({"format": "regroup-manifest/1", "tool": {"name": "regroup", "version":
 "0.0.9"}, "method": {"name": "first", "n_kv_heads": {"before": 8, "after": 2}}, "arguments":
 {"kv_heads": 2}, "source": {"files": [{"path": "config.json", "sha256": "bb22"}]}, "output":
 {"files": [{"path": "config.json", "sha256": "cc33"}]}})");
  const std::string markdown = report_markdown(files.gather());
  for (const char* part :
       {"| eval | done | 1 min 15 s | regroup eval 'a b' 'it'\\\\''s' --seq-len=5 |",
        "| eval | model | sha256:77 |", "```text\n[eval]\nseq-len = 5\n```",
        "| model.safetensors | aa11 |", "| source: config.json | bb22 |",
        "| output: config.json | cc33 |", "| kv\\_heads | 2 |", "| regroup version | 0.0.9 |",
        "Conversion 8 → 4 KV heads by mean", "Conversion 8 → 2 KV heads by first"}) {
    EXPECT_NE(markdown.find(part), std::string::npos) << part << "\n" << markdown;
  }
  EXPECT_EQ(files.gather().sources.size(), 3u);
}

TEST(Samples, StandSideBySide) {
  Files files;
  files.add("s.json", R"({"samples": [{"prompt": "Once", "continuations": [
 {"role": "baseline", "n_kv_heads": 8, "text": " upon"}, {"role": "converted", "n_kv_heads": 1,
 "text": " <b>a\nb"}]}]})");
  const std::string html = report_html(files.gather());
  EXPECT_NE(html.find("before, 8 KV heads</span><p> upon</p>"), std::string::npos) << html;
  EXPECT_NE(html.find("converted, 1 KV head</span><p> &lt;b&gt;a\nb</p>"), std::string::npos);
}

TEST(Inputs, AFileOfNoKnownKindIsRefused) {
  for (const char* text : {"{}", "[]", "3", R"({"models": []})", R"({"models": [3]})",
                           R"({"samples": 3})", R"({"doc_id": 0})"}) {
    SCOPED_TRACE(text);
    Files files;
    files.add("x.json", text);
    try {
      files.gather();
      ADD_FAILURE() << "accepted";
    } catch (const ConfigError& error) {
      EXPECT_EQ(error.info().code, "REPORT_INPUT");
      EXPECT_EQ(error.info().path, files.paths()[0]);
      EXPECT_NE(error.info().hint.find("eval, bench, compare, plan, replay, convert or run"),
                std::string::npos);
    }
  }
}

TEST(Inputs, WhatIsMissingBrokenOrOfTheWrongTypeIsNamed) {
  const auto code = [](const std::string& text) {
    try {
      Files().add("x.json", text).gather();
    } catch (const CheckpointError& error) {
      return error.info().code;
    }
    return std::string("accepted");
  };
  EXPECT_THROW(gather_report({"/nonexistent/x.json"}), CheckpointError);
  EXPECT_EQ(code(""), "JSON_SYNTAX");
  EXPECT_EQ(code("{\"results\": "), "JSON_SYNTAX");
  EXPECT_EQ(code("{\"a\": 1, \"a\": 2}"), "JSON_DUPLICATE_KEY");
  EXPECT_EQ(code(R"({"results": {}, "regroup": {"role": 3}})"), "CFG_TYPE");
  EXPECT_EQ(code(R"({"results": {"a": 3}, "regroup": {}})"), "CFG_TYPE");
  EXPECT_EQ(code(R"({"results": {}, "regroup": {"n_kv_heads": -1}})"), "CFG_RANGE");
  EXPECT_EQ(code(R"({"samples": [3]})"), "CFG_TYPE");
  EXPECT_EQ(code(R"({"stages": [{"name": "a", "seconds": "1"}]})"), "CFG_TYPE");
  EXPECT_EQ(code(R"({"results": {}, "regroup": {}})"), "accepted");
  EXPECT_EQ(code(R"({"stages": [{}], "recipe": 3})"), "CFG_TYPE");
}

TEST(Inputs, AFileGivenTwiceCountsOnce) {
  const Files files = full();
  std::vector<std::string> twice = files.paths();
  twice.insert(twice.end(), files.paths().begin(), files.paths().end());
  EXPECT_EQ(report_json(gather_report(twice)), report_json(files.gather()));
}

// ---- forms

TEST(Forms, TheExtensionDecides) {
  const ReportData data = full().gather();
  EXPECT_EQ(render_report(data, "a.html"), report_html(data));
  EXPECT_EQ(render_report(data, "a.md"), report_markdown(data));
  EXPECT_EQ(render_report(data, "a.json"), report_json(data));
  EXPECT_EQ(render_report(data, "a.csv"), report_csv(data));
  EXPECT_THROW(render_report(data, "a.pdf"), ConfigError);
}

TEST(Forms, OfNothingAreStillDocuments) {
  EXPECT_NE(report_html({}).find("No model was evaluated."), std::string::npos);
  EXPECT_EQ(report_html({}).find("<section"), std::string::npos);
  EXPECT_EQ(report_csv({}), "section,model,role,n_kv_heads,metric,x,value,stderr,n\n");
  EXPECT_EQ(parse_strict_json(report_json({}), "x", kConfigJson)["models"].size(), 0u);
}

TEST(Forms, SectionsWithoutDataAreAbsent) {
  const std::string html = report_html(Files().add("e.json", kConverted).gather());
  EXPECT_NE(html.find("<section id=\"quality\">"), std::string::npos);
  EXPECT_EQ(html.find("<section id=\"uptraining\">"), std::string::npos);
  EXPECT_EQ(html.find("<section id=\"memory\">"), std::string::npos);
  EXPECT_EQ(html.find("<section id=\"samples\">"), std::string::npos);
}

TEST(Forms, TheCsvIsOneTidyTable) {
  const std::string csv = report_csv(full().gather());
  EXPECT_NE(csv.find("quality,uptrained-4,uptrained,4,valid:recovery,,0.931,0.006,79\n"),
            std::string::npos)
      << csv;
  // A negative number is a number, not a formula: it stays as it is.
  Files lower;
  lower.add("e.json", models({kBaseline, model_json("converted", 4, 1.3, delta(-0.087, 0.01))}));
  EXPECT_NE(report_csv(lower.gather()).find("valid:loss_delta,,-0.087,0.01,79\n"),
            std::string::npos);
  EXPECT_NE(csv.find("uptraining,c,uptrained,4,loss,614400,1.5,,300\n"), std::string::npos) << csv;
}

TEST(Forms, TheHtmlIsClosedAndForbidsEverythingButItsStyle) {
  const std::string html = report_html(full().add("p.json", kPlan).gather());
  EXPECT_NE(html.find("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                      "style-src 'unsafe-inline'; img-src data:\">"),
            std::string::npos);
  const size_t body = html.find("<body>");
  const std::string inner = html.substr(body, html.find("</html>") - body);
  EXPECT_NO_THROW(Markup(inner).require_well_formed());
}

TEST(Forms, AreTheSameEveryTime) {
  const Files files = full();
  EXPECT_EQ(report_html(files.gather()), report_html(files.gather()));
}

}  // namespace
}  // namespace regroup
