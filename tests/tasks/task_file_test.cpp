// Where the questions of a task are found, the forms that are read, and what is refused.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "regroup/tasks/task.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

class TaskFile : public ::testing::Test {
 protected:
  Task open(const std::string& records, const TaskOptions& options = {}) {
    return open_task(folder_.write("mine.jsonl", records), options);
  }
  ErrorInfo refused(const char* code, const std::string& records) {
    return expect_error<CheckpointError>(code, [&] { open(records); });
  }
  TemporaryFolder folder_;
};

const std::string kChoice = R"({"context": "Q: a?\nA:", "choices": ["yes", "no"], "gold": 1})";

TEST_F(TaskFile, MultipleChoice) {
  const Task task = open(kChoice + "\n" + kChoice + "\n");
  EXPECT_EQ(task.name, "mine");
  ASSERT_EQ(task.requests.size(), 2u);
  EXPECT_EQ(task.requests[0][0], std::pair(std::string("Q: a?\nA:"), std::string(" yes")));
  EXPECT_EQ(task.requests[0][1].second, " no");
  EXPECT_EQ(task.questions[0].gold, std::vector<int64_t>{1});
  EXPECT_EQ(task.definition.measures.size(), 3u);
}

TEST_F(TaskFile, SeveralContexts) {
  const Task task = open(R"({"contexts": ["A ran", "B ran"], "continuation": "off.", "gold": 0})");
  EXPECT_EQ(task.requests[0][0], std::pair(std::string("A ran"), std::string(" off.")));
  EXPECT_EQ(task.requests[0][1], std::pair(std::string("B ran"), std::string(" off.")));
}

TEST_F(TaskFile, LastWord) {
  const Task task = open(R"({"context": "to be or not to", "continuation": "be"})");
  EXPECT_EQ(task.definition.kind, TaskKind::kLoglikelihood);
  EXPECT_EQ(task.requests[0][0].second, " be");
}

TEST_F(TaskFile, WholeText) {
  const Task task = open(R"({"text": "all of it"})");
  EXPECT_EQ(task.definition.kind, TaskKind::kRolling);
  EXPECT_EQ(task.requests[0][0].second, "all of it");
}

TEST_F(TaskFile, SeveralAnswersMayBeRight) {
  const Task task = open(R"({"context": "x", "choices": ["a", "b", "c"], "gold": [0, 2]})");
  EXPECT_EQ(task.questions[0].gold, (std::vector<int64_t>{0, 2}));
}

TEST_F(TaskFile, ExamplesComeFromTheFileAndNeverShowTheAnswer) {
  std::string records;
  for (int i = 0; i < 4; ++i) {
    records += fmt::format(R"({{"context": "Q{}", "choices": ["a", "b"], "gold": {}}})", i, i % 2);
    records += "\n";
  }
  const Task task = open(records, {.n_shot = 3});
  for (int i = 0; i < 4; ++i) {
    const std::string& context = task.requests[static_cast<size_t>(i)][0].first;
    for (int other = 0; other < 4; ++other) {
      const std::string solved = fmt::format("Q{} {}\n\n", other, other % 2 == 0 ? "a" : "b");
      EXPECT_EQ(context.find(solved) != std::string::npos, other != i) << context;
    }
    EXPECT_TRUE(context.ends_with(fmt::format("\n\nQ{}", i)));
  }
}

TEST_F(TaskFile, LimitKeepsTheFirst) {
  const Task task = open(kChoice + "\n" + R"({"context": "Z", "choices": ["q"], "gold": 0})" + "\n",
                         {.limit = 1});
  EXPECT_EQ(task.questions.size(), 1u);
  EXPECT_EQ(task.n_original.at(""), 2);
}

TEST_F(TaskFile, BadRecordsAreNamedByLineAndKey) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"context": "x", "choices": [], "gold": 0})", "\"choices\" must be a list of 1 to 1000"},
      {R"({"context": "x", "choices": ["a", ""], "gold": 0})", "not empty"},
      {R"({"context": "x", "choices": ["a", 3], "gold": 0})", "found 3"},
      {R"({"context": "x", "choices": ["a", "b"], "gold": 2})", "from 0 to 1, found 2"},
      {R"({"context": "x", "choices": ["a", "b"], "gold": -1})", "from 0 to 1, found -1"},
      {R"({"context": "x", "choices": ["a", "b"], "gold": []})", "must name a right answer"},
      {R"({"context": "x", "choices": ["a", "b"]})", "must hold \"gold\""},
      {R"({"context": 5, "choices": ["a", "b"], "gold": 0})", "\"context\" must be a text"},
      {R"({"contexts": ["a", "b"], "gold": 0})", "must hold \"continuation\""},
      {R"({"question": "x"})", "must hold \"context\" and \"choices\""},
      {R"({"text": ""})", "must not be empty"},
      {R"({"context": "x", "continuation": "y"})", "same kind as the first"}};
  for (const auto& [record, message] : cases) {
    const bool later = std::string(message).find("same kind") != std::string::npos;
    const ErrorInfo error = refused("TASK_SCHEMA", (later ? kChoice + "\n" : "") + record + "\n");
    EXPECT_NE(error.message.find(message), std::string::npos) << error.message;
    EXPECT_TRUE(error.path.ends_with(later ? " line 2" : " line 1") ||
                error.path.ends_with(" record 1"))
        << error.path;
  }
}

TEST_F(TaskFile, RecordsThatAreNoObjects) { refused("TEXT_FIELD", "[1, 2]"); }

TEST_F(TaskFile, AMillionChoicesAreRefused) {
  std::string many = R"({"context": "x", "choices": [")";
  for (int i = 0; i < 1'000'000; ++i) many += "a\",\"";
  refused("TASK_SCHEMA", many + R"(a"], "gold": 0})");
}

TEST_F(TaskFile, NumbersTwice) {
  const ErrorInfo error =
      refused("TASK_DUPLICATE", R"({"id": 7, "context": "x", "continuation": "y"})"
                                "\n"
                                R"({"id": 7, "context": "z", "continuation": "y"})");
  EXPECT_TRUE(error.path.ends_with(" line 2"));
}

TEST_F(TaskFile, EmptyFiles) {
  refused("TEXT_EMPTY", "");
  refused("TEXT_EMPTY", "\n\n");
  refused("JSON_SYNTAX", "{\"context\": ");
}

TEST_F(TaskFile, TooFewExamples) {
  const ErrorInfo error =
      expect_error<CheckpointError>("TASK_SHOTS", [&] { open(kChoice + "\n", {.n_shot = 1}); });
  EXPECT_NE(error.message.find("has 0 documents"), std::string::npos) << error.message;
}

TEST_F(TaskFile, UnknownNamesHaveANeighbour) {
  const ErrorInfo error =
      expect_error<ConfigError>("TASK_UNKNOWN", [&] { require_task("arc_eazy", {}); });
  EXPECT_EQ(error.hint, "did you mean arc_easy?");
  EXPECT_NE(error.message.find("winogrande"), std::string::npos);
}

TEST_F(TaskFile, NamedTasksNeedTheirFile) {
  const ErrorInfo nowhere =
      expect_error<ConfigError>("TASK_DATA", [&] { require_task("piqa", {}); });
  EXPECT_NE(nowhere.hint.find("`task-data`"), std::string::npos);
  const ErrorInfo error = expect_error<ConfigError>(
      "TASK_DATA", [&] { require_task("piqa", {.folder = folder_.path()}); });
  EXPECT_NE(error.message.find("piqa/validation.jsonl"), std::string::npos) << error.message;
  folder_.write("piqa.jsonl", kChoice);
  require_task("piqa", {.folder = folder_.path()});
}

TEST_F(TaskFile, ANamedTaskMayHaveTheNeutralForm) {
  folder_.write("piqa.jsonl", kChoice);
  const Task task = open_task("piqa", {.folder = folder_.path()});
  EXPECT_EQ(task.requests[0][1].second, " no");
  EXPECT_EQ(task.definition.measures.size(), 2u);  // those of the task
}

TEST_F(TaskFile, DocumentsOfADatasetThatMissAKey) {
  folder_.write("arc_easy.jsonl", R"({"question": "x", "answerKey": "A"})");
  const ErrorInfo missing = expect_error<CheckpointError>(
      "TASK_SCHEMA", [&] { open_task("arc_easy", {.folder = folder_.path()}); });
  EXPECT_NE(missing.message.find("must hold \"choices\", found the keys question, answerKey"),
            std::string::npos)
      << missing.message;
  folder_.write(
      "arc_easy.jsonl",
      R"({"question": "x", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "C"})");
  const ErrorInfo letter = expect_error<CheckpointError>(
      "TASK_SCHEMA", [&] { open_task("arc_easy", {.folder = folder_.path()}); });
  EXPECT_NE(letter.message.find("one of the labels"), std::string::npos);
}

// A folder of the hub's cache as it lies there, links and all; and the same records as lines.
TEST_F(TaskFile, ParquetOfTheHub) {
  const auto golden = std::filesystem::absolute("tests/text/golden/parquet");
  std::filesystem::create_directories(folder_ / "parquet/arc_easy");
  std::filesystem::create_symlink(golden / "arc.snappy.parquet",
                                  folder_ / "parquet/arc_easy/test-00000-of-00001.parquet");
  std::filesystem::create_directories(folder_ / "lines");
  std::filesystem::create_symlink(golden / "arc.jsonl", folder_ / "lines/arc_easy.jsonl");
  const Task task = open_task("arc_easy", {.folder = folder_ / "parquet"});
  EXPECT_EQ(task.questions.size(), 12u);
  EXPECT_EQ(task.requests, open_task("arc_easy", {.folder = folder_ / "lines"}).requests);
  const ErrorInfo error = expect_error<CheckpointError>(
      "TASK_SCHEMA", [&] { open_task(folder_.write("mine.parquet", read_file(task.path)), {}); });
  EXPECT_TRUE(error.path.ends_with("mine.parquet row 1")) << error.path;
}

// Three shards of the same rows; those of the examples too.
TEST_F(TaskFile, ShardsOfASplitAreReadInTheirOrder) {
  std::filesystem::create_directories(folder_ / "arc_easy");
  const std::string rows = read_file("tests/text/golden/parquet/arc.snappy.parquet");
  const auto shard = [&](const char* split, int i, int count) {
    return folder_.write(fmt::format("arc_easy/{}-{:05}-of-{:05}.parquet", split, i, count), rows);
  };
  std::vector<std::string> expected;
  for (const int i : {2, 0, 1}) shard("test", i, 3);
  for (int i = 0; i < 3; ++i) {
    expected.push_back(fmt::format("{}/arc_easy/test-0000{}-of-00003.parquet", folder_.path(), i));
  }
  const TaskOptions options{.folder = folder_.path()};
  const Task task = open_task("arc_easy", options);
  EXPECT_EQ(task.files, expected);
  ASSERT_EQ(task.questions.size(), 36u);
  EXPECT_EQ(task.requests[12], task.requests[0]);
  EXPECT_EQ(files_of_task("arc_easy", options), expected);
  shard("train", 1, 2);
  const ErrorInfo missing = expect_error<ConfigError>(
      "TASK_DATA", [&] { open_task("arc_easy", {.folder = folder_.path(), .n_shot = 1}); });
  EXPECT_NE(missing.message.find("train-00000-of-00002.parquet"), std::string::npos)
      << missing.message;
  std::filesystem::remove(expected[1]);
  expect_error<ConfigError>("TASK_DATA", [&] { require_task("arc_easy", options); });
  shard("test", 1, 3);
  shard("test", 0, 1);
  const ErrorInfo mixed =
      expect_error<ConfigError>("TASK_DATA", [&] { require_task("arc_easy", options); });
  EXPECT_NE(mixed.message.find("some of 1 and some of 3"), std::string::npos) << mixed.message;
}

TEST_F(TaskFile, WhatOnlyLooksLikeAShardIsNone) {
  std::filesystem::create_directories(folder_ / "arc_easy");
  for (const char* name :
       {"test-00000-of-00000", "test-0-of-1", "test-00001-of-00001", "test-00000-of-00001x",
        "test-large-00000-of-00001", "test--0001-of-1"}) {
    folder_.write(fmt::format("arc_easy/{}.parquet", name), "x");
  }
  expect_error<ConfigError>("TASK_DATA",
                            [&] { require_task("arc_easy", {.folder = folder_.path()}); });
  EXPECT_TRUE(files_of_task("arc_easy", {.folder = folder_.path()}).empty());
}

TEST_F(TaskFile, OtherKindsOfFiles) {
  const std::string text = folder_.write("notes.txt", "text");
  expect_error<UnsupportedError>("TEXT_KIND", [&] { require_task(text, {}); });
  const std::string arrow = folder_.write("test.arrow", "ARROW1");
  const ErrorInfo error =
      expect_error<UnsupportedError>("TEXT_KIND", [&] { open_task(arrow, {}); });
  EXPECT_NE(error.hint.find("to_json"), std::string::npos);
  expect_error<CheckpointError>("IO_READ_ERROR", [&] { require_task(folder_ / "no.jsonl", {}); });
}

}  // namespace
}  // namespace regroup::testing
