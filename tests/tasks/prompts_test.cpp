// Prompts are those of lm-evaluation-harness, character by character: golden/prompts.json was made by it
// (scripts/lm_eval_golden) from the documents beside.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "regroup/tasks/task.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

constexpr const char* kGolden = "tests/tasks/golden";
constexpr const char* kDocuments = "tests/tasks/golden/documents";

Json golden() { return Json::parse(read_file(std::string(kGolden) + "/prompts.json")); }

/// Compares the requests of a task, without the contexts of texts that roll. @return how many
size_t compare(const Task& task, const Json& documents, const std::string& what) {
  SCOPED_TRACE(task.name + " " + what);
  size_t compared = 0;
  EXPECT_EQ(task.requests.size(), documents.size());
  for (size_t i = 0; i < std::min(task.requests.size(), documents.size()); ++i) {
    EXPECT_EQ(task.requests[i].size(), documents[i].size()) << i;
    for (size_t r = 0; r < std::min(task.requests[i].size(), documents[i].size()); ++r) {
      const auto& [context, continuation] = task.requests[i][r];
      const Json& expected = documents[i][r];
      const bool rolls = task.definition.kind == TaskKind::kRolling;
      if (!rolls) {
        EXPECT_EQ(context, expected[0]) << i;
      }
      EXPECT_EQ(continuation, expected[rolls ? 0 : 1]) << i;
      ++compared;
    }
  }
  return compared;
}

TEST(Prompts, AreThoseOfTheHarness) {
  const Json all = golden();
  size_t compared = 0;
  for (const auto& [name, by_shots] : all.items()) {
    for (const auto& [shots, documents] : by_shots.items()) {
      if (shots == "chat") continue;
      const Task task = open_task(name, {.folder = kDocuments, .n_shot = std::stoll(shots)});
      compared += compare(task, documents, shots + "-shot");
    }
  }
  EXPECT_EQ(compared, 121u);
}

// The same questions through a chat template: descriptions are the system's turn, examples turns of their own or not.
TEST(Prompts, OfConversationsAreThoseOfTheHarness) {
  const ChatWriter chat = [](const std::vector<ChatTurn>& turns, const std::string&) {
    std::string text;
    for (const ChatTurn& turn : turns) text += "<|" + turn.role + "|>" + turn.content + "<|end|>";
    text += "<|assistant|>";
    return text;
  };
  const Json all = golden();
  size_t compared = 0;
  for (const auto& [name, by_shots] : all.items()) {
    for (const char* turns : {"multiturn", "singleturn"}) {
      const int64_t shots = by_shots.contains("2") ? 2 : 0;
      const Task task = open_task(name,
                                  {.folder = kDocuments,
                                   .n_shot = shots,
                                   .apply_chat_template = true,
                                   .fewshot_as_singleturn = std::string(turns) == "singleturn"},
                                  chat);
      compared += compare(task, by_shots["chat"][turns], turns);
    }
  }
  EXPECT_GT(compared, 121u);
}

TEST(Prompts, EveryTaskIsCompared) {
  const Json all = golden();
  for (const TaskDefinition* definition : task_definitions()) {
    EXPECT_TRUE(all.contains(definition->name)) << definition->name;
  }
}

// 62 pages, 241,335 words and 1,290,527 bytes are what the task counts on the corpus.
TEST(Prompts, WikiTextFallsIntoItsPages) {
  const std::string path = "../shared/data/text/wikitext2-raw-test.txt";
  const TemporaryFolder folder;
  try {
    folder.write("wikitext.txt", read_file(path));
  } catch (const std::exception&) {
    GTEST_SKIP() << "needs " << path;
  }
  const Task task = open_task("wikitext", {.folder = folder.path()});
  ASSERT_EQ(task.questions.size(), 62u);
  size_t bytes = 0;
  size_t detokenized = 0;
  for (const TaskQuestion& question : task.questions) {
    bytes += question.counted.size();
    detokenized += question.choices[0].size();
  }
  EXPECT_EQ(bytes, 1'290'527u);
  EXPECT_EQ(detokenized, 1'240'466u);
}

}  // namespace
}  // namespace regroup::testing
