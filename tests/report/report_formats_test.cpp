// How a report knows its files: by their tag, and without one by their shape; and metrics that it does not know.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "regroup/results/conversion.h"
#include "regroup/results/plan.h"
#include "regroup/results/training_log.h"
#include "report_files.h"
#include "support/expect_error.h"

namespace regroup {
namespace {

using namespace testing;

/// `text`, an object, with `format` as its first key.
std::string tagged(const std::string& text, const std::string& format) {
  return "{\"format\": \"" + format + "\", " + text.substr(text.find('{') + 1);
}

std::string kind_of(const std::string& text) {
  return Files().add("x.json", text).gather().sources.at(0).kind;
}

const std::string kStart = R"({"event": "start", "step": 0, "model": "m", "n_kv_heads": 2})";
const std::string kAnswer =
    R"({"doc_id": 0, "target": "a", "task": "t", "model": "m", "filter": "none", "acc": 1.0})";

TEST(Formats, TaggedAndUntaggedFilesAreTheSameKind) {
  const struct {
    const char* kind;
    std::string format;
    std::string text;
  } cases[] = {{"eval", "regroup eval/1", kConverted},
               {"eval", "regroup eval/1", models({kBaseline, kConverted})},
               {"plan", kPlanFormat, R"({"model": {}, "options": []})"},
               {"samples", "regroup samples/1", R"({"samples": []})"},
               {"conversion", kConversionFormat, R"({"digests": {}, "n_kv_heads": {}})"},
               {"run", "regroup run/1", R"({"stages": []})"},
               {"uptraining log", kTrainingLogFormat, kStart},
               {"answers to tasks", kAnswersFormat, kAnswer}};
  for (const auto& [kind, format, text] : cases) {
    SCOPED_TRACE(format);
    EXPECT_EQ(kind_of(text), kind);
    EXPECT_EQ(kind_of(tagged(text, format)), kind);
  }
}

TEST(Formats, TheTagDecides) {
  // A plan that has the keys of an evaluation too.
  EXPECT_EQ(kind_of(R"({"format": "regroup plan/1", "results": {}, "regroup": {}, "model": {}})"),
            "plan");
  // Without what untagged files are known by.
  EXPECT_EQ(kind_of(R"({"format": "regroup run/1"})"), "run");
}

TEST(Formats, AnotherVersionIsRefusedWithBoth) {
  for (const char* name : {"eval", "plan", "samples", "convert", "run", "training-log", "answers",
                           "bench", "sweep", "replay"}) {
    SCOPED_TRACE(name);
    const std::string text = fmt::format(R"({{"format": "regroup {}/2", "event": "start"}})", name);
    const ErrorInfo error = expect_error("RESULT_FORMAT", [&] { kind_of(text); });
    EXPECT_TRUE(
        contains(error.message,
                 fmt::format("must have the format regroup {0}/1, found regroup {0}/2", name)));
  }
  const ErrorInfo unknown = expect_error<ConfigError>(
      "REPORT_INPUT", [] { kind_of(R"({"format": "regroup dream/1", "samples": []})"); });
  EXPECT_TRUE(contains(unknown.message, "its format is regroup dream/1"));
}

TEST(Formats, AFormatOfAnotherProgramSaysNothing) {
  EXPECT_EQ(kind_of(tagged(kConverted, "of mine")), "eval");
}

TEST(UnknownMetric, StandsInTableJsonAndCsvByItsName) {
  const std::string more = R"(, "surprise,none": 0.625, "surprise_stderr,none": 0.25)";
  Files files;
  files.add("e.json",
            models({model_json("baseline", 8, 1.387, ""), model_json("converted", 4, 3.15, more)}));
  const ReportData data = files.gather();
  EXPECT_TRUE(
      contains(report_markdown(data), "| Model | KV heads | KV cache a token | Loss | surprise |"));
  EXPECT_TRUE(contains(report_markdown(data), "| 3.150 ± 0.018 | 0.62 ± 0.25 |"));
  EXPECT_TRUE(contains(report_html(data), "surprise"));
  EXPECT_TRUE(contains(report_csv(data), "converted,4,valid:surprise,,0.625,0.25,79\n"));
  const Json json = parse_strict_json(report_json(data), "r.json", kConfigJson);
  EXPECT_EQ(json["models"][1]["scores"][0]["surprise"]["value"], 0.625);
  EXPECT_EQ(report_markdown(full().gather()).find("surprise"), std::string::npos);
}

// Bits a byte say what they say, in a unit that compares across tokenizers.
TEST(UnknownMetric, WhatRestatesAnotherOneIsKnown) {
  const std::string more = R"(, "word_perplexity,none": 60.5, "byte_perplexity,none": 2.5)";
  Files files;
  files.add("e.json", model_json("converted", 4, 3.15, more));
  EXPECT_EQ(report_markdown(files.gather()).find("_perplexity"), std::string::npos);
  EXPECT_EQ(report_csv(files.gather()).find("_perplexity"), std::string::npos);
}

// A single window has no quantile; more of them have one.
TEST(UnknownMetric, ALaterFileFillsWhatWasNotANumber) {
  for (const char* name : {"surprise", "kl"}) {
    const auto file = [&](const std::string& value) {
      return model_json("converted", 4, 3.15, fmt::format(", \"{},none\": {}", name, value));
    };
    Files files;
    files.add("a.json", file("\"N/A\"")).add("b.json", file("0.5")).add("c.json", file("0.75"));
    const std::string csv = report_csv(files.gather());
    const size_t first = csv.find(fmt::format("valid:{},,0.5,", name));
    EXPECT_NE(first, csv.npos) << csv;
    EXPECT_EQ(csv.find(fmt::format("valid:{},", name), first + 1), csv.npos) << "once";
  }
}

TEST(UnknownMetric, ATextInPlaceOfANumberIsAnError) {
  Files files;
  files.add("e.json", model_json("converted", 4, 3.15, R"(, "surprise,none": "much")"));
  EXPECT_TRUE(contains(expect_error("CFG_TYPE", [&] { files.gather(); }).message,
                       "\"results.valid.surprise,none\" must be a number"));
}

}  // namespace
}  // namespace regroup
