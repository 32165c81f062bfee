// Whatever stands in the results, a report has the structure that it has with "x" in every field.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "markup.h"
#include "regroup/base/printable.h"
#include "regroup/base/strict_json.h"
#include "regroup/base/utf8.h"
#include "regroup/report/report.h"

namespace regroup {
namespace {

using testing::Markup;

ReportModel model_of(const std::string& role, int64_t n_kv_heads, const std::string& s) {
  ReportScore score{.on = {.text = s, .tokens = 1000, .seq_len = 64}, .windows = 16, .metrics = {}};
  for (const TextMetric& known : text_metrics()) {
    score.metrics.push_back(text_metric(std::string(known.name), 1.5, 0.25));
  }
  score.metrics.push_back(text_metric(s, 1.5, 0.25));
  score.curve = {.tokens = 1000,
                 .shares = {0.5, 1},
                 .kl = {{.value = 0.1, .low = 0.05, .high = 0.2}, {.value = 4}},
                 .delta_p = {{.value = -0.1, .low = -0.2, .high = 0}, {.value = 0.5}}};
  ReportScore other = score;
  other.on.tokens = 2000;
  ReportModel model{.role = role,
                    .name = s,
                    .architecture = s,
                    .dtype = s,
                    .digest = s,
                    .version = s,
                    .libtorch = s,
                    .n_layers = 2,
                    .n_heads = 8,
                    .n_kv_heads = n_kv_heads,
                    .n_params = 1000,
                    .kv_bytes_per_token = 128 * n_kv_heads,
                    .scores = {score, other}};
  return model;
}

/// With the baseline's heads it is the control.
ReportUptraining run_of(int64_t n_kv_heads, const std::string& s) {
  return {.path = s,
          .model = s,
          .teacher = s,
          .kl_weight = 0.5,
          .calibrated = true,
          .valid_text = s,
          .n_kv_heads = n_kv_heads,
          .n_params = 900,
          .steps = 2,
          .tokens = 200,
          .planned_steps = 3,
          .seconds = 1,
          .train = {{1, 100, 2.0}, {2, 200, 1.0}},
          .valid = {{0, 0, n_kv_heads == 8 ? 1.0 : 2.0}, {2, 200, 1.1}}};
}

/// Scores of tasks and answers to them. Two models, as the first column of a table has it.
void add_questions_of(const std::string& s, ReportData& data) {
  const TaskMetric on{.task = s, .metric = s, .filter = s, .n_shot = 5};
  data.task_scores = {{.model = s, .on = on, .value = {0.5, 0.1}, .samples = 4, .version = "1"},
                      {.model = s + "'s", .on = on, .value = {0.25, 0.1}, .samples = 3}};
  data.task_scores[0].paired = ReportPaired{.delta = {0.5, 0.1}, .low = 0.1, .high = 0.9};
  data.task_scores[1].version = s + ".";
  const auto answers = [&](const std::string& model, double worth) {
    const ReportAnswer answer{s, s, model, s, s, {worth}};
    return ReportAnswers{
        .model = model, .task = s, .filter = s, .metrics = {s}, .items = {answer, answer}};
  };
  data.answers = {answers(s, 1), answers(s + "'s", 0)};
}

/// Every kind of section, with `s` wherever a text can stand.
ReportData data_of(const std::string& s) {
  ReportData data;
  data.models = {model_of("baseline", 8, s), model_of("converted", 4, s),
                 model_of("uptrained", 4, s), model_of("converted", 2, s), model_of(s, 1, s)};
  data.sources = {{s, s, s}};
  data.plans = {{.architecture = s,
                 .n_kv_heads = 8,
                 .context = 64,
                 .batch = 2,
                 .kv_dtype = s,
                 .gpu_memory_bytes = 4096,
                 .recommended = 4,
                 .why = s,
                 .warnings = {s},
                 .options = {{8, 1024, 2048, 1000, 3048, true, 2, 100},
                             {4, 512, 1024, 1000, 2024, true, 4, std::nullopt}}}};
  data.replays = {{.architecture = s,
                   .n_kv_heads = 8,
                   .trace = s,
                   .requests = 5,
                   .seconds = 9,
                   .memory_bytes = 4096,
                   .options = {{.n_kv_heads = 8, .completed = 4, .rejected = 1}}}};
  SpeedRun fast{
      .model = s, .n_kv_heads = 2, .batch = 1, .context = 16, .speed_up = SpeedUp{.over = s}};
  SpeedRun slow = fast;
  slow.model = "another";
  slow.context = 32;
  data.speeds = {{.device = s, .processor = s, .dtype = s, .version = s, .runs = {fast, slow}}};
  data.uptrainings = {run_of(4, s), run_of(2, s), run_of(2, s), run_of(8, s)};
  // Two labels that only the files tell apart; the others are made of the model's folder.
  data.uptrainings[1].method = data.uptrainings[2].method = s;
  data.samples = {{s, {{"baseline", 8, s}, {"uptrained", 4, s}, {s, 4, s}}}};
  data.conversions = {{s, s, s, s, 8, 4, {{s, s}}, {{s, s}}}};
  data.runs = {{s, {s, s, s, {{s, s, 1.0, {s, s}, {{s, s}}}}}}};
  add_questions_of(s, data);
  return data;
}

const std::vector<std::string>& payloads() {
  static const std::vector<std::string> kPayloads = {
      "<script>alert(1)</script>",
      "</script><script>alert(1)</script>",
      "<img src=x onerror=alert(1)>",
      "<svg onload=alert(1)>",
      "</svg><script>1</script>",
      "</title><b>",
      "</style><script>1</script>",
      "</td></tr></table><h1>",
      "</pre><b>",
      "</p>",
      "</body></html>",
      "<!-- x",
      "-->",
      "<![CDATA[",
      "]]>",
      "<?xml version=\"1.0\"?>",
      "<!DOCTYPE html>",
      "\" onmouseover=\"alert(1)",
      "' onmouseover='alert(1)",
      "\"><b>",
      "'><b>",
      "` onload=`",
      "x onclick=alert(1)",
      "\\\"><b>",
      "&lt;script&gt;",
      "&#60;b&#62;",
      "&amp;",
      "&",
      "&#x3c;",
      "<",
      ">",
      "\"",
      "'",
      "`",
      "``` \n<b>\n```",
      "````````````````",
      "~~~\n# x",
      "\n\n# heading\n\n",
      "\n- item\n",
      "- item",
      "1. item",
      "===",
      "> quote",
      "a|b|c",
      "\\|",
      "\\",
      "**bold** __x__ ~~y~~",
      "[x](javascript:alert(1))",
      "![x](data:text/html,1)",
      "<a href=//x>",
      "javascript:alert(1)",
      "=HYPERLINK(\"x\")",
      "+1+1",
      "-2+3",
      "@SUM(A1)",
      "\t=1",
      "\r=1",
      "a,b\"c\nd",
      "{{7*7}} ${x} {%x%}",
      std::string("a\0b<b>", 6),
      "\x1b]0;x\x07\x1b[2J",
      "\xC2\x9B\x33\x31m",
      "\xE2\x80\xAE"
      "evil\xE2\x80\xAC",
      "\xE2\x81\xA6x\xE2\x81\xA9",
      "\xE2\x80\x8B\xEF\xBB\xBF\xE2\x80\xA8\xE2\x80\xA9",
      "\xC0\xBC"
      "script\xC0\xBE",
      "\xE0\x80\xBC",
      "\xED\xA0\x80",
      "\xF4\x90\x80\x80",
      "\xFF\xFE<b>",
      "a\xF0\x9F\x98",
      "\xF0\x9F\x98\x80 \xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D",
      "../../../etc/passwd",
      "%s%n{}{0}",
      "style=\"x\" class='y'",
      std::string(30'000, '<'),
      std::string(2'000, '|'),
  };
  return kPayloads;
}

TEST(HostileReport, TheHtmlKeepsItsSkeleton) {
  const std::vector<std::string> expected = Markup(report_html(data_of("x"))).tags();
  ASSERT_GT(expected.size(), 300u);
  ASSERT_GE(payloads().size(), 60u);
  for (const std::string& payload : payloads()) {
    SCOPED_TRACE(printable(payload));
    const std::string html = report_html(data_of(payload));
    EXPECT_EQ(Markup(html).tags(), expected);
    EXPECT_TRUE(is_utf8(html));
    EXPECT_EQ(std::count_if(
                  html.begin(), html.end(),
                  [](char c) { return static_cast<uint8_t>(c) < 0x20 && c != '\n' && c != '\t'; }),
              0);
  }
}

TEST(HostileReport, NothingIsLoadedLinkedOrRun) {
  for (const std::string& payload : payloads()) {
    SCOPED_TRACE(printable(payload));
    const Markup page(report_html(data_of(payload)));
    for (const std::string& tag : page.tags()) {
      EXPECT_EQ(tag.find(" on"), std::string::npos) << tag;
      EXPECT_EQ(tag.find(" src"), std::string::npos) << tag;
      EXPECT_FALSE(tag.starts_with("script") || tag.starts_with("link")) << tag;
    }
  }
}

TEST(HostileReport, TheOnlyAddressesAreTheSvgNamespace) {
  std::string html = report_html(data_of("x"));
  const std::string allowed = "xmlns=\"http://www.w3.org/2000/svg\"";
  for (size_t at; (at = html.find(allowed)) != std::string::npos;) html.erase(at, allowed.size());
  EXPECT_EQ(html.find("http:"), std::string::npos);
  EXPECT_EQ(html.find("https:"), std::string::npos);
  EXPECT_EQ(html.find("url("), std::string::npos);
  for (size_t at = 0; (at = html.find("href=\"", at)) != std::string::npos; ++at) {
    EXPECT_EQ(html[at + 6], '#');
  }
}

TEST(HostileReport, EverySvgIsWellFormed) {
  for (const std::string& payload : payloads()) {
    SCOPED_TRACE(printable(payload));
    const std::string html = report_html(data_of(payload));
    size_t charts = 0;
    for (size_t at = 0; (at = html.find("<svg ", at)) != std::string::npos; ++at, ++charts) {
      const size_t end = html.find("</svg>", at) + 6;
      EXPECT_NO_THROW(Markup(html.substr(at, end - at)).require_well_formed());
    }
    // Two Pareto plots, two KL curves, two recoveries, four curves and bars, a trace, scores and differences of tasks, each for
    // wide and narrow pages.
    EXPECT_EQ(charts, 28u);
  }
}

/// Outside fences: each line's kind and, for a table, its cells.
std::vector<std::string> markdown_skeleton(const std::string& text) {
  std::vector<std::string> lines;
  std::string fence;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (!fence.empty()) {
      if (line == fence) fence.clear();
      continue;
    }
    const size_t ticks = line.find_first_not_of('`');
    if (ticks >= 3 && line.starts_with("```")) {
      fence = line.substr(0, ticks);
      lines.push_back("fence");
      continue;
    }
    int cells = 0;
    for (size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '\\') {
        ++i;
      } else if (line[i] == '|') {
        ++cells;
      }
    }
    EXPECT_EQ(line.find('<'), std::string::npos) << line;
    const char first = line.empty() ? ' ' : line[0];
    const char second = line.size() > 1 ? line[1] : ' ';
    const bool always = std::string_view("#>|*").find(first) != std::string::npos;
    const bool mark = std::string_view("-+=").find(first) != std::string::npos;
    const bool block = always || (mark && (second == ' ' || second == first)) ||
                       (std::isdigit(static_cast<unsigned char>(first)) != 0 && second == '.');
    lines.push_back((block          ? std::string(1, line[0])
                     : line.empty() ? ""
                                    : "text") +
                    ":" + std::to_string(cells));
  }
  EXPECT_EQ(fence, "") << "a fence stays open";
  return lines;
}

TEST(HostileReport, TheMarkdownKeepsItsLinesAndCells) {
  const auto expected = markdown_skeleton(report_markdown(data_of("x")));
  for (const std::string& payload : payloads()) {
    SCOPED_TRACE(printable(payload));
    EXPECT_EQ(markdown_skeleton(report_markdown(data_of(payload))), expected);
  }
}

/// RFC 4180.
std::vector<std::vector<std::string>> parse_csv(const std::string& csv) {
  std::vector<std::vector<std::string>> rows = {{""}};
  bool quoted = false;
  for (size_t i = 0; i < csv.size(); ++i) {
    std::string& cell = rows.back().back();
    if (quoted && csv[i] == '"' && i + 1 < csv.size() && csv[i + 1] == '"') {
      cell += csv[i++];
    } else if (csv[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && csv[i] == ',') {
      rows.back().emplace_back();
    } else if (!quoted && csv[i] == '\n') {
      rows.push_back({""});
    } else {
      cell += csv[i];
    }
  }
  rows.pop_back();
  return rows;
}

TEST(HostileReport, TheCsvKeepsItsCellsAndHoldsNoFormula) {
  const size_t rows = parse_csv(report_csv(data_of("x"))).size();
  for (const std::string& payload : payloads()) {
    SCOPED_TRACE(printable(payload));
    const auto table = parse_csv(report_csv(data_of(payload)));
    EXPECT_EQ(table.size(), rows);
    for (const auto& row : table) {
      ASSERT_EQ(row.size(), 9u);
      for (const size_t text : {1, 2, 4}) {
        const bool formula = !row[text].empty() &&
                             std::string_view("=+-@\t\r").find(row[text][0]) != std::string::npos;
        EXPECT_FALSE(formula) << printable(row[text]);
      }
    }
  }
}

TEST(HostileReport, TheJsonHoldsTheTextsAsTheyAre) {
  for (const std::string& payload : payloads()) {
    if (!is_utf8(payload)) continue;
    SCOPED_TRACE(printable(payload));
    const Json json = parse_strict_json(report_json(data_of(payload)), "x", kManifestJson);
    EXPECT_EQ(json["models"][0]["name"], payload);
    EXPECT_EQ(json["runs"][0]["stages"][0]["arguments"][1], payload);
    EXPECT_EQ(json["samples"][0]["continuations"][0]["text"], payload);
  }
}

}  // namespace
}  // namespace regroup
