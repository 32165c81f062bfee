// Samples of lm-evaluation-harness and of eval: which answers one model lost.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "answers.h"
#include "markup.h"
#include "report_files.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using nlohmann::ordered_json;

constexpr const char* kFile = "samples_arc_easy_2026-01-31T12-00-05.123456.jsonl";

std::string golden_samples(const std::string& task) {
  return read_file("tests/tasks/golden/harness/made__up/samples_" + task +
                   "_2026-01-31T12-00-05.123456.jsonl");
}

std::vector<ordered_json> lines_of(const std::string& text) {
  std::vector<ordered_json> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(ordered_json::parse(text.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

/// The same lines with other scores by acc, item by item; what stands in `more` replaces members.
std::string answered(const std::string& text, const std::vector<int>& acc,
                     const ordered_json& more = ordered_json::object()) {
  std::string out;
  size_t i = 0;
  for (ordered_json line : lines_of(text)) {
    line["acc"] = acc.at(i++ % acc.size());
    line.update(more);
    out += line.dump() + "\n";
  }
  return out;
}

TEST(Answers, BrokenOnesAreShownWithTheirQuestion) {
  const std::string samples = golden_samples("arc_easy");
  const ReportData data =
      Files()
          .add(std::string("parent/") + kFile, answered(samples, {1, 1, 0}))
          .add(std::string("out__g2/") + kFile, answered(samples, {0, 1, 1}))
          .add("results.json", R"({"results": {"arc_easy": {"acc,none": 0.5}}, "versions": {},
                                   "model_name": "out/g2"})")
          .gather();
  ASSERT_EQ(data.answers.size(), 2u);
  EXPECT_EQ(data.answers[0].model, "parent") << "of the folder";
  EXPECT_EQ(data.answers[1].model, "out/g2") << "as the results name it";
  EXPECT_EQ(data.answers[1].task, "arc_easy");
  EXPECT_EQ(data.sources[0].kind, "answers to tasks");
  const std::string markdown = report_markdown(data);
  EXPECT_TRUE(contains(markdown, "| arc\\_easy | acc | out/g2 | 3 | 2 | 2 | 1 | 1 |\n"))
      << markdown;
  EXPECT_TRUE(contains(markdown, "| Question: Which of these is a metal? Answer: |  iron |"))
      << markdown;
  EXPECT_TRUE(
      contains(report_csv(data), "answers,out/g2,,0,\"arc_easy:acc,none:right_to_wrong\",,1,,3\n"))
      << report_csv(data);
  const auto json = nlohmann::json::parse(report_json(data))["answers"];
  EXPECT_EQ(json[0]["right_to_wrong"], 1);
  EXPECT_EQ(json[0]["reference"], "parent");
  EXPECT_TRUE(contains(report_html(data), "or counts answers of one"));
}

TEST(Answers, EveryTaskOfTheHarnessIsRead) {
  for (const char* task :
       {"arc_easy", "boolq", "gsm8k", "hellaswag", "lambada_openai", "piqa", "mmlu_world_religions",
        "triviaqa", "truthfulqa_mc2", "wikitext", "winogrande"}) {
    SCOPED_TRACE(task);
    const std::string name = fmt::format("samples_{}_2026.jsonl", task);
    const ReportData data = Files()
                                .add("a/" + name, golden_samples(task))
                                .add("b/" + name, golden_samples(task))
                                .gather();
    ASSERT_FALSE(data.answers.empty());
    EXPECT_EQ(data.answers[0].task, task);
    for (const AnswerComparison& found : compare_answers(data)) {
      EXPECT_EQ(found.broken + found.mended, 0);
      EXPECT_EQ(found.other_prompts, 0);
    }
    report_html(data);
  }
  const ReportData words = Files().add("a/s.jsonl", golden_samples("gsm8k")).gather();
  ASSERT_EQ(words.answers.size(), 2u) << "one for each filter";
  EXPECT_EQ(words.answers[0].filter, "strict-match");
  EXPECT_EQ(words.answers[0].items.at(0).said, "8");
  const ReportData blank = Files().add("a/s.jsonl", golden_samples("winogrande")).gather();
  EXPECT_EQ(blank.answers[0].items.at(0).said, "cup") << "contexts differ, not the continuation";
}

TEST(Answers, OnlyTheSameQuestionsAreCounted) {
  const std::string samples = golden_samples("arc_easy");
  std::string fewer = answered(samples, {1, 0, 0}, {{"prompt_hash", "other"}});
  fewer.erase(fewer.rfind('{'));
  const std::string markdown = report_markdown(
      Files()
          .add(std::string("a/") + kFile, answered(samples, {1, 1, 1}))
          .add(std::string("b/") + kFile, fewer)
          .add("c/samples_arc_easy_2.jsonl", answered(samples, {0}, {{"doc_hash", "unknown"}}))
          .gather());
  EXPECT_TRUE(contains(
      markdown, "| arc\\_easy | acc | b | 2 (of 3 and 2, 2 with another prompt) | 2 | 1 | 1 | 0 |"))
      << markdown;
  EXPECT_EQ(markdown.find("| c |"), std::string::npos);
}

TEST(Answers, OursNameTaskAndModel) {
  const std::string samples = golden_samples("piqa");
  const std::string both = answered(samples, {1, 0}, {{"task", "piqa"}, {"model", "parent"}}) +
                           answered(samples, {0, 0}, {{"task", "piqa"}, {"model", "out/g2"}});
  const ReportData data = Files().add("answers.jsonl", both).gather();
  ASSERT_EQ(data.answers.size(), 2u);
  EXPECT_EQ(data.answers[1].model, "out/g2");
  EXPECT_EQ(compare_answers(data).at(0).broken, 1);
}

TEST(Answers, OlderLayoutsAndTornEnds) {
  const ReportData data =
      Files()
          .add("m/samples_x_1.json", R"([{"doc_id": 0, "doc": {"q": 1}, "target": "1",
              "arguments": [["Q:", " a"], ["Q:", " b"]], "resps": [[[-2.0, false]], [[-1.0, true]]],
              "filtered_resps": [[-2.0, false], [-1.0, true]], "acc": 1.0}])")
          .add("n/samples_x_2.jsonl",
               R"({"doc_id": 0, "doc": {"q": 1}, "target": 0, "resps": [], "acc": false}
{"doc_id": 1, "doc": {"q)")
          .gather();
  ASSERT_EQ(data.answers.size(), 2u);
  EXPECT_EQ(data.answers[0].items.at(0).said, " b");
  EXPECT_EQ(data.answers[0].items.at(0).target, " b");
  EXPECT_EQ(data.answers[1].items.size(), 1u);
  EXPECT_EQ(compare_answers(data).at(0).broken, 1) << "told by the document itself";
}

TEST(Answers, GivenTwiceTheLaterOnesCount) {
  const std::string samples = golden_samples("piqa");
  const ReportData data = Files()
                              .add("parent/samples_piqa_1.jsonl", answered(samples, {1, 1}))
                              .add("g2/samples_piqa_1.jsonl", answered(samples, {0, 0}))
                              .add("g2/samples_piqa_2.jsonl", answered(samples, {1, 0}))
                              .add("same/samples_piqa_1.jsonl", answered(samples, {1, 1}))
                              .gather();
  ASSERT_EQ(data.answers.size(), 3u) << "equal bytes in another folder are another model's";
  EXPECT_EQ(data.answers[0].model, "parent");
  EXPECT_EQ(compare_answers(data).at(0).broken, 1);
  EXPECT_EQ(compare_answers(data).at(0).other->items.size(), 2u);
}

TEST(Answers, NoNumbersAreNoVerdicts) {
  const std::string samples = golden_samples("piqa");
  const ReportData data =
      Files()
          .add(std::string("a/") + kFile, answered(samples, {1}))
          .add(std::string("b/") + kFile, answered(samples, {1}, {{"acc", nullptr}}))
          .gather();
  for (const AnswerComparison& found : compare_answers(data)) EXPECT_NE(found.metric, "acc");
}

TEST(Answers, BrokenLinesNameTheKey) {
  struct Case {
    const char* line;
    const char* told;
  };
  const Case cases[] = {{R"("arguments": 3)", "\"arguments\" must be an object or a list"},
                        {R"("arguments": [3])", "\"arguments\" must hold objects or lists"},
                        {R"("filtered_resps": "x")", "\"filtered_resps\" must be a list"},
                        {R"("metrics": "acc")", "\"metrics\" must be a list"},
                        {R"("metrics": [3])", "\"metrics\" must hold texts"},
                        {R"("metrics": ["acc"], "acc": {})", "\"acc\" must be a number"},
                        {R"("filter": 3)", "\"filter\""},
                        {R"("doc_hash": 3)", "\"doc_hash\""}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.line);
    Files files;
    files.add("a.jsonl", fmt::format(R"({{"doc_id": 0, "resps": [], "doc": {{}}}}
{{"doc_id": 1, "resps": [], {}}}
)",
                                     c.line));
    const ErrorInfo error = expect_error("CFG_TYPE", [&] { files.gather(); });
    EXPECT_TRUE(contains(error.message, c.told));
    EXPECT_TRUE(error.path.ends_with("a.jsonl:2")) << error.path;
  }
  Files files;
  files.add("a.jsonl", "{\"doc_id\": 0, \"resps\": []}\nnonsense\n{\"doc_id\": 1}\n");
  EXPECT_TRUE(expect_error("JSON_SYNTAX", [&] { files.gather(); }).path.ends_with("a.jsonl:2"));
}

TEST(Answers, HostileTextsStayTexts) {
  for (const char* payload : {"<script>alert(1)</script>", "|a|\n# b", "\u202E\u2028", "`` ` ```",
                              "]]>\"'><b>", "=1+1"}) {
    SCOPED_TRACE(payload);
    const ordered_json hostile = {{"target", payload},
                                  {"filtered_resps", {payload}},
                                  {"filter", payload},
                                  {"task", payload},
                                  {"arguments", {{"gen_args_0", {{"arg_0", payload}}}}}};
    ordered_json first = hostile;
    first["model"] = std::string("a") + payload;
    ordered_json second = hostile;
    second["model"] = payload;
    const std::string samples = golden_samples("piqa");
    const ReportData data =
        Files()
            .add("a.jsonl", answered(samples, {1}, first) + answered(samples, {0}, second))
            .gather();
    ASSERT_EQ(compare_answers(data).size(), 2u);
    const std::string html = report_html(data);
    const Markup page(html);
    for (const std::string& tag : page.tags()) {
      EXPECT_FALSE(tag.starts_with("script") || tag == "b") << tag;
    }
    report_markdown(data);
    EXPECT_EQ(report_csv(data).find("\n="), std::string::npos);
  }
}

TEST(Answers, ContextsDifferInWholeWords) {
  const auto line = [](const char* likelier) {
    return ordered_json(
               {{"doc_id", 0},
                {"doc", {{"n", 0}}},
                {"target", "1"},
                {"filtered_resps", ordered_json::array({ordered_json::array({"-2.0", "False"}),
                                                        ordered_json::array({likelier, "False"})})},
                {"arguments",
                 {{"gen_args_0", {{"arg_0", "to the bakery"}, {"arg_1", " was cold"}}},
                  {"gen_args_1", {{"arg_0", "to the bank"}, {"arg_1", " was cold"}}}}},
                {"acc", 1}})
               .dump() +
           "\n";
  };
  const auto said = [](const std::string& text) {
    return Files().add("a/samples_x_1.jsonl", text).gather().answers.at(0).items.at(0).said;
  };
  EXPECT_EQ(said(line("-3.0")), "bakery") << "not \"kery\"";
  EXPECT_EQ(said(line("-1.0")), "bank") << "not \"nk\"";
}

TEST(Answers, ManyLostAnswersAreCut) {
  std::string first;
  std::string second;
  for (int i = 0; i < 200; ++i) {
    for (const auto& [text, acc] : {std::pair{&first, 1}, std::pair{&second, 0}}) {
      *text += ordered_json({{"doc_id", i},
                             {"doc", {{"n", i}}},
                             {"target", "x"},
                             {"resps", ordered_json::array()},
                             {"arguments", {{"gen_args_0", {{"arg_0", std::string(5000, 'q')}}}}},
                             {"acc", acc}})
                   .dump() +
               "\n";
    }
  }
  const ReportData data =
      Files().add("a/samples_x_1.jsonl", first).add("b/samples_x_1.jsonl", second).gather();
  EXPECT_TRUE(contains(report_markdown(data), "Broken by b: x, acc, 10 of 200"));
  EXPECT_LT(report_html(data).size(), 100'000u);
}

}  // namespace
}  // namespace regroup::testing
