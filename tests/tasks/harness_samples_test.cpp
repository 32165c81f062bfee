// Sample lines are those of lm-evaluation-harness, hashes and all: it wrote golden/harness (scripts/lm_eval_golden) for a
// model that says made-up things, which are said again here.
#include "regroup/tasks/harness_samples.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "regroup/tasks/left_out.h"
#include "regroup/text/python_text.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

constexpr const char* kGolden = "tests/tasks/golden";
constexpr const char* kDate = "2026-01-31T12-00-05.123456";

std::string harness_file(const std::string& name) {
  return read_file(std::string(kGolden) + "/harness/made__up/" + name);
}

std::vector<Json> lines_of(const std::string& row) {
  std::istringstream file(harness_file("samples_" + row + "_" + kDate + ".jsonl"));
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
  return lines;
}

/// What the model said, from the lines of one filter.
TaskAnswers answers_in(const std::vector<Json>& lines) {
  TaskAnswers answers;
  for (const Json& line : lines) {
    if (line.at("filter") != lines.front().at("filter")) continue;
    auto& scores = answers.scores.emplace_back();
    for (const Json& response : line.at("resps")) {
      const Json& said = response.at(0);
      const bool pair = said.is_array();
      const std::string text = pair ? said.at(0) : said;
      answers.texts.push_back(text);
      scores.push_back({.log_likelihood = std::strtod(text.c_str(), nullptr),
                        .greedy = pair && said.at(1) == "True"});
    }
  }
  return answers;
}

/// The rows of a task and their lines.
std::map<std::string, std::vector<Json>> samples_of(const Task& task, const TaskAnswers& answers) {
  std::map<std::string, std::vector<Json>> rows;
  visit_harness_samples(task, answers, [&](const std::string& row, Json line) {
    rows[row].push_back(std::move(line));
  });
  return rows;
}

std::string only_row(const std::string& name) {
  if (name == "mmlu") return "mmlu_world_religions";
  return name == "mmlu_continuation" ? "mmlu_world_religions_continuation" : name;
}

Task golden_task(const std::string& name) {
  return open_task(name, {.folder = std::string(kGolden) + "/documents", .n_shot = 0});
}

TEST(HarnessSamples, AreThoseOfTheHarness) {
  const Json results = Json::parse(harness_file(std::string("results_") + kDate + ".json"));
  size_t compared = 0;
  for (const TaskDefinition* definition : task_definitions()) {
    const std::string name(definition->name);
    const std::string row = only_row(name);
    const std::vector<Json> expected = lines_of(row);
    const auto rows = samples_of(golden_task(name), answers_in(expected));
    ASSERT_EQ(rows.size(), 1u) << name;
    ASSERT_TRUE(rows.contains(row)) << name;
    ASSERT_EQ(rows.at(row).size(), expected.size()) << name;
    HarnessTaskHash hash;
    for (size_t i = 0; i < expected.size(); ++i) {
      Json found = rows.at(row)[i];
      if (name == "truthfulqa_mc2") {  // a sum in another order
        EXPECT_NEAR(found["acc"].get<double>(), expected[i]["acc"].get<double>(), 1e-12);
        found["acc"] = expected[i]["acc"];
      }
      EXPECT_EQ(found, expected[i]) << name << " line " << i;
      hash.add(found);
      ++compared;
    }
    EXPECT_EQ(hash.hex(), results.at("task_hashes").at(row)) << name;
  }
  EXPECT_EQ(compared, 28u);
}

/// What differs from the harness's row, "" where nothing does.
std::string difference(const Json& row, const TaskScore& score) {
  const std::string name(measure_name(score.measure));
  const std::string filter(measure_filter(score.measure));
  const Json& value = row.at(name + "," + filter);
  if (std::abs(value.get<double>() - score.value) > 1e-9 * std::abs(score.value)) {
    return name + " is " + std::to_string(score.value);
  }
  const Json& error = row.at(name + "_stderr," + filter);
  if (error.is_number() != score.error.has_value()) return name + "_stderr";
  if (score.error && std::abs(error.get<double>() - *score.error) > 1e-9 * *score.error) {
    return name + "_stderr is " + std::to_string(*score.error);
  }
  return {};
}

TEST(HarnessSamples, ScoresAreThoseOfTheHarnesssResults) {
  const Json results =
      Json::parse(harness_file(std::string("results_") + kDate + ".json")).at("results");
  for (const TaskDefinition* definition : task_definitions()) {
    const std::string name(definition->name);
    const Task task = golden_task(name);
    for (const TaskSummary& row :
         summarize_task(task, answers_in(lines_of(only_row(name))), 1000)) {
      if (row.is_group && name == "mmlu_continuation") continue;  // no group was made there
      ASSERT_TRUE(results.contains(row.name)) << row.name;
      EXPECT_EQ(results.at(row.name).at("sample_len"), row.items);
      for (const TaskScore& score : row.scores) {
        EXPECT_EQ(difference(results.at(row.name), score), "") << row.name;
      }
    }
  }
}

/// Questions "0", "1" and so on of these subjects.
void write_mmlu(const TemporaryFolder& folder, const std::vector<std::string>& subjects) {
  std::string records;
  for (size_t i = 0; i < subjects.size(); ++i) {
    records += Json({{"question", std::to_string(i)},
                     {"subject", subjects[i]},
                     {"choices", {"a", "b", "c", "d"}},
                     {"answer", 1}})
                   .dump() +
               "\n";
  }
  folder.write("mmlu.jsonl", records);
}

TEST(HarnessSamples, PartsCountFromNoughtAndHaveTheirOwnRows) {
  const TemporaryFolder folder;
  write_mmlu(folder, {"anatomy", "virology", "anatomy"});
  const Task task = open_task("mmlu", {.folder = folder.path()});
  const RequestScore even{.log_likelihood = -1, .greedy = false};
  const TaskAnswers answers{.scores = {3, std::vector<RequestScore>(4, even)}};
  const auto rows = samples_of(task, answers);
  ASSERT_EQ(rows.at("mmlu_anatomy").size(), 2u);
  EXPECT_EQ(rows.at("mmlu_anatomy")[1].at("doc_id"), 1);
  EXPECT_EQ(rows.at("mmlu_virology")[0].at("doc_id"), 0);
  const auto summaries = summarize_task(task, answers, 0);
  ASSERT_EQ(summaries.size(), 5u);  // two subjects, two groups, all
  EXPECT_EQ(summaries[2].members, std::vector<std::string>{"mmlu_virology"});
  EXPECT_EQ(summaries[4].members, (std::vector<std::string>{"mmlu_other", "mmlu_stem"}));
}

TEST(HarnessSamples, QuestionsThatAreLeftOutKeepTheirPlace) {
  const TemporaryFolder folder;
  write_mmlu(folder, {"anatomy", "virology", "anatomy", "anatomy", "virology", "anatomy"});
  Task task = open_task("mmlu", {.folder = folder.path()});
  leave_out(task, {0, 3});  // anatomy 0 and 2
  leave_out(task, {1});     // of what is left: anatomy 1
  EXPECT_EQ(task.left_out.at("anatomy"), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(task.requests.size(), 3u);
  const RequestScore even{.log_likelihood = -1, .greedy = false};
  const TaskAnswers answers{.scores = {3, std::vector<RequestScore>(4, even)}};
  const auto rows = samples_of(task, answers);
  ASSERT_EQ(rows.at("mmlu_anatomy").size(), 1u);
  EXPECT_EQ(rows.at("mmlu_anatomy")[0].at("doc_id"), 3);
  EXPECT_EQ(rows.at("mmlu_anatomy")[0].at("doc").at("question"), "5");
  EXPECT_EQ(rows.at("mmlu_virology")[1].at("doc_id"), 1);
}

TEST(HarnessSamples, NoNumberIsNull) {
  const TemporaryFolder folder;
  const Task task =
      open_task(folder.write("mine.jsonl", "{\"context\": \"a\", \"continuation\": \"b\"}\n"), {});
  const TaskAnswers answers{
      .scores = {{{.log_likelihood = std::numeric_limits<double>::quiet_NaN(), .greedy = false}}}};
  const Json line = samples_of(task, answers).at("mine").at(0);
  EXPECT_TRUE(line.at("perplexity").is_null());
  EXPECT_EQ(line.at("resps"), Json::parse(R"([[["nan", "False"]]])"));
}

// By Python: hashlib.sha256(json.dumps(doc, indent=2, ensure_ascii=False).encode()).hexdigest()
TEST(HarnessSamples, DocumentsHashAsPythonWritesThem) {
  const Json document = Json::parse(
      R"({"a": [], "b": {}, "t": "é\u0000\u007f\u2028\"\\/\n\t😀", "x": [1, -0.5, 1e-05, 0.0001, true, null], "n": [[2], {"k": "v"}]})");
  EXPECT_EQ(sha256_of_text(harness_json(document, 2)),
            "9bc270b9752eac5044109c68684a0015005f1af59027ba0bde5cc7dd8ca0f62c");
}

// What a list of targets is written with. By Python: repr(text).
TEST(HarnessSamples, TextsAreQuotedAsPythonQuotesThem) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "''"},
      {"plain", "'plain'"},
      {"it's", "\"it's\""},
      {"say \"x\"", "'say \"x\"'"},
      {"both ' and \"", "'both \\' and \"'"},
      {"a\\b\012\015\011", "'a\\\\b\\n\\r\\t'"},
      {std::string("\000\037\177\302\200\302\240\302\255", 9), "'\\x00\\x1f\\x7f\\x80\\xa0\\xad'"},
      {"\303\251\346\227\245\360\237\230\200", "'\303\251\346\227\245\360\237\230\200'"},
      {"\342\200\213\342\200\250\357\273\277\343\200\200", "'\\u200b\\u2028\\ufeff\\u3000'"},
      {"\363\240\200\201\364\217\277\277", "'\\U000e0001\\U0010ffff'"}};
  for (const auto& [text, quoted] : cases) EXPECT_EQ(python_repr(text), quoted);
}

}  // namespace
}  // namespace regroup::testing
