// eval --harness-out: lm-evaluation-harness's own functions read what is written, whatever stands in it.
#include "harness_out.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "oracles/oracle.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGoldenDocuments = "tests/tasks/golden/documents";

/// The same answer to everything.
TaskAnswers answers_to(const Task& task) {
  TaskAnswers answers;
  for (const auto& requests : task.requests) {
    answers.texts.emplace_back("so #### 8, or\nJane Austen");
    auto& scores = answers.scores.emplace_back();
    for (size_t r = 0; r < requests.size(); ++r) {
      scores.push_back({.log_likelihood = -1e-5 - static_cast<double>(r), .greedy = r == 0});
    }
  }
  return answers;
}

/// What make_results() says of a model that was asked `tasks`.
Json results_of(const std::string& model, const std::vector<AnsweredTask>& tasks) {
  Json json = {{"results", Json::object()},
               {"config", {{"model_dtype", "f32"}}},
               {"model_name", model},
               {"regroup", {{"role", "model"}}}};
  for (const auto& [task, answers] : tasks) {
    for (const TaskSummary& row : summarize_task(task, answers, 100)) {
      Json& result = json["results"][row.name];
      result = {{"alias", row.name}, {"name", row.name}, {"sample_len", row.items}};
      for (const TaskScore& score : row.scores) {
        const std::string name(measure_name(score.measure));
        const std::string filter(measure_filter(score.measure));
        result[name + "," + filter] = score.value;
        result[name + "_stderr," + filter] = score.error ? Json(*score.error) : Json("N/A");
      }
      json["versions"][row.name] = task.definition.version;
      json["n-shot"][row.name] = task.n_shot;
      if (!row.is_group) continue;
      json["groups"][row.name] = result;
      for (const std::string& member : row.members) {
        json["group_subtasks"][row.name].push_back(member);
      }
    }
  }
  return json;
}

std::vector<std::string> names_below(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class HarnessFiles : public ::testing::Test {
 protected:
  void write(const std::string& model, std::vector<Task> tasks) {
    tasks_ = std::move(tasks);
    std::vector<const Task*> named;
    for (const Task& task : tasks_) {
      answers_.push_back(answers_to(task));
      named.push_back(&task);
    }
    std::vector<AnsweredTask> answered;
    for (size_t t = 0; t < tasks_.size(); ++t) answered.push_back({tasks_[t], answers_[t]});
    const HarnessOut out(out_, {model}, {});
    out.check_tasks(named);
    out.write(results_of(model, answered), answered, {.device = "cpu", .max_length = 128});
  }

  /// What the harness reads; null where there is none.
  Json harness_reads() {
    const Json answer = ask_oracle("harness_files.py", temporary_, {{"folder", out_}});
    EXPECT_FALSE(answer.is_null());
    return answer.is_null() || answer.contains("missing") ? Json() : answer;
  }

  TemporaryFolder temporary_;
  std::string out_ = temporary_ / "out";
  std::vector<Task> tasks_;
  std::vector<TaskAnswers> answers_;
};

TEST_F(HarnessFiles, ItsOwnFunctionsReadEveryTask) {
  REGROUP_REQUIRE_ORACLE();
  std::vector<Task> tasks;
  for (const TaskDefinition* definition : task_definitions()) {
    tasks.push_back(
        open_task(std::string(definition->name), {.folder = kGoldenDocuments, .n_shot = 0}));
  }
  write("some/model", std::move(tasks));
  const Json read = harness_reads();
  if (read.is_null()) GTEST_SKIP() << "no lm_eval beside transformers (scripts/setup --bench)";
  EXPECT_EQ(read.at("wrong"), Json::array());
  EXPECT_EQ(read.at("unknown_keys"), Json::array());
  EXPECT_EQ(read.at("results"), Json::array({"some__model"}));
  EXPECT_EQ(read.at("sanitized"), "some__model");
  EXPECT_EQ(read.at("named"), "some__model");
  EXPECT_EQ(read.at("samples").size(), task_definitions().size());
  EXPECT_EQ(read.at("samples").at("gsm8k"), 2);  // a line for each filter
  const std::string table = read.at("table");
  EXPECT_NE(table.find("|gsm8k"), std::string::npos) << table;
  EXPECT_NE(table.find("strict-match"), std::string::npos) << table;
  EXPECT_NE(table.find("  - mmlu_world_religions"), std::string::npos) << table;
  EXPECT_NE(read.at("groups").get<std::string>().find("mmlu_humanities"), std::string::npos);
}

TEST_F(HarnessFiles, HostileTextsAndNames) {
  std::string records;
  for (const char* text :
       {"<script>alert(1)</script>", "a\"b\\c\n\td", "\u202E\u2028\U0001F600 \x7f",
        "x_y_2026.jsonl", "{{7*7}} %s %n", "' or 1=1 --"}) {
    records += Json({{"question", text},
                     {"subject", "../../up_" + std::string(text)},
                     {"choices", {text, "b", "c", "d"}},
                     {"answer", 1}})
                   .dump() +
               "\n";
  }
  temporary_.write("mmlu.jsonl", records);
  write("../..", {open_task("mmlu", {.folder = temporary_.path()})});
  EXPECT_TRUE(path_exists(out_ + "/..__.."));
  for (const auto& entry : fs::directory_iterator(temporary_.path())) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name == "out" || name == "mmlu.jsonl") << name;
  }
  EXPECT_EQ(names_below(out_).size(), 7u);
  const std::string results = read_file(out_ + "/..__../" + names_below(out_).front());
  EXPECT_EQ(Json::parse(results).at("results").size(), 7u);
  REGROUP_REQUIRE_ORACLE();
  const Json read = harness_reads();
  if (read.is_null()) GTEST_SKIP() << "no lm_eval beside transformers (scripts/setup --bench)";
  EXPECT_EQ(read.at("wrong"), Json::array());
  EXPECT_EQ(read.at("samples").size(), 6u);
}

TEST_F(HarnessFiles, NoNumberIsReadAsNone) {
  REGROUP_REQUIRE_ORACLE();
  const std::string path = temporary_.write("mine.jsonl",
                                            "{\"context\": \"a\", \"continuation\": \"b\"}\n"
                                            "{\"context\": \"c\", \"continuation\": \"d\"}\n");
  const Task task = open_task(path, {});
  TaskAnswers answers = answers_to(task);
  answers.scores[1][0].log_likelihood = std::numeric_limits<double>::quiet_NaN();
  const std::vector<AnsweredTask> answered = {{task, answers}};
  Json results = results_of("m", answered);
  results["results"]["mine"]["perplexity,none"] = "N/A";
  results["results"]["mine"]["perplexity_stderr,none"] = "N/A";
  HarnessOut(out_, {"m"}, {}).write(results, answered, {.device = "cpu", .max_length = 128});
  const Json read = harness_reads();
  if (read.is_null()) GTEST_SKIP() << "no lm_eval beside transformers (scripts/setup --bench)";
  EXPECT_EQ(read.at("wrong"), Json::array());
  EXPECT_EQ(read.at("samples").at("mine"), 2);
  EXPECT_NE(read.at("table").get<std::string>().find("N/A"), std::string::npos);
}

TEST_F(HarnessFiles, ALaterRunLeavesTheEarlierFiles) {
  const Task task = open_task("arc_easy", {.folder = kGoldenDocuments});
  const TaskAnswers answers = answers_to(task);
  const std::vector<AnsweredTask> answered = {{task, answers}};
  for (int run = 0; run < 2; ++run) {
    HarnessOut(out_, {"m"}, {})
        .write(results_of("m", answered), answered, {.device = "cpu", .max_length = 128});
  }
  EXPECT_EQ(names_below(out_).size(), 4u);
}

TEST_F(HarnessFiles, WhatCannotBeWrittenIsRefusedFirst) {
  const auto refused = [&](const char* code, const std::string& out,
                           const std::vector<std::string>& models,
                           const std::vector<std::string>& inputs = {}) {
    return expect_error<ConfigError>(code, [&] { HarnessOut(out, models, inputs); }).message;
  };
  const std::string file = temporary_.write("file", "x");
  EXPECT_TRUE(refused("OUTPUT_NOT_FOLDER", file, {"m"})
                  .ends_with("--harness-out must name a folder, found a file"));
  refused("OUTPUT_PARENT", temporary_ / "no/out", {"m"});
  refused("OUTPUT_NOT_FOLDER", file + "/", {"m"});
  EXPECT_EQ(refused("OUTPUT_NAME", out_, {"a/b", "a__b"}),
            "everything in --harness-out must have a name of its own, found a__b for a/b and a__b");
  refused("OUTPUT_NAME", out_, {std::string(300, 'x')});
  fs::create_directory(temporary_ / "model");
  refused("OUTPUT_IS_INPUT", temporary_.path(), {"model"}, {temporary_ / "model"});
  refused("OUTPUT_IS_INPUT", temporary_ / "model", {"m"}, {temporary_ / "model"});
  fs::create_directory(out_);
  temporary_.write("out/taken", "x");
  refused("OUTPUT_NOT_FOLDER", out_, {"taken"});

  const HarnessOut out(out_, {"m"}, {});
  const std::string records = "{\"context\": \"a\", \"continuation\": \"b\"}\n";
  const Task mine = open_task(temporary_.write("mine.jsonl", records), {});
  Task longer = mine;
  longer.name = std::string(220, 'n');
  expect_error<ConfigError>("OUTPUT_NAME", [&] { out.check_tasks({&longer}); });
  expect_error<ConfigError>("OUTPUT_NAME", [&] { out.check_tasks({&mine, &mine}); });
  EXPECT_FALSE(path_exists(out_ + "/m"));
}

}  // namespace
}  // namespace regroup::testing
