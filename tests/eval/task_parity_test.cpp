// Per-item log-likelihoods of lm-evaluation-harness: golden/scores.json was made by it (scripts/lm_eval_golden) with a
// SentencePiece model and with GPT-2's byte-level BPE, on nine tasks and one text.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/base/path.h"
#include "regroup/eval/request_scorer.h"
#include "regroup/tasks/task_scores.h"

namespace regroup::testing {
namespace {

constexpr const char* kTasks = "../shared/data/tasks";
constexpr double kNats = 1e-4;  // of one request
// The harness adds up in float32: of 437 nats its sum moves by 6e-5 from one processor to another.
constexpr double kOfSum = 0x1p-22;

using Scores = std::vector<std::vector<RequestScore>>;

/// Answers to the first questions of a task.
Scores ask(const std::string& model, const Decoder& decoder, const Task& task) {
  const Tokenizer tokenizer = Tokenizer::open(model);
  const auto encoded = encode_task(task, tokenizer, decoder.config().max_positions);
  std::vector<RequestScore> scores;
  score_requests(decoder, encoded.requests, {}, scores);
  return scores_by_item(task, encoded, scores);
}

Scores expected_of(const Json& items) {
  Scores scores;
  for (const Json& item : items) {
    auto& answers = scores.emplace_back();
    for (const Json& answer : item)
      answers.push_back({.log_likelihood = answer[0], .greedy = answer[1]});
  }
  return scores;
}

/// A tokenizer.model that removes extra spaces, as tok512 does, removes them here; transformers 5 keeps them.
bool has_extra_space(const std::vector<std::pair<std::string, std::string>>& requests) {
  return std::any_of(requests.begin(), requests.end(), [](const auto& request) {
    return request.second.find("  ") != std::string::npos || request.second.ends_with(' ');
  });
}

void expect_golden(const std::string& model, const std::string& name) {
  const Json golden = Json::parse(read_file("tests/tasks/golden/scores.json")).at(name);
  const Decoder decoder = load_folder(model);
  int64_t items = 0;
  for (const auto& [task_name, answers] : golden.items()) {
    if (task_name == "rolling") continue;
    const Task task = open_task(std::string(kTasks) + "/" + task_name + ".jsonl",
                                {.limit = static_cast<int64_t>(answers.size())});
    const Scores expected = expected_of(answers);
    const Scores found = ask(model, decoder, task);
    ASSERT_EQ(found.size(), expected.size());
    items += static_cast<int64_t>(found.size());
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].size(), expected[i].size());
      if (has_extra_space(task.requests[i])) continue;
      for (size_t r = 0; r < found[i].size(); ++r) {
        const double wanted = expected[i][r].log_likelihood;
        EXPECT_NEAR(found[i][r].log_likelihood, wanted, kNats + kOfSum * std::abs(wanted))
            << task_name << " item " << i << " request " << r;
        EXPECT_EQ(found[i][r].greedy, expected[i][r].greedy) << task_name << " item " << i;
      }
    }
    if (std::any_of(task.requests.begin(), task.requests.end(), has_extra_space)) continue;
    const auto ours = summarize_task(task, {.scores = found}, 0);
    const auto theirs = summarize_task(task, {.scores = expected}, 0);
    for (size_t s = 0; s < ours[0].scores.size(); ++s) {
      const double value = theirs[0].scores[s].value;
      EXPECT_NEAR(ours[0].scores[s].value, value, 1e-5 * std::abs(value)) << task_name;
    }
  }
  EXPECT_EQ(items, 82);

  const TemporaryFolder folder;
  const Json text = {
      {"text", read_file("../shared/data/text/tinystories-valid.txt").substr(0, 3000)}};
  const Task rolling = open_task(folder.write("text.jsonl", text.dump()), {});
  const double expected = golden.at("rolling");
  EXPECT_NEAR(ask(model, decoder, rolling)[0][0].log_likelihood / expected, 1, 1e-6);
}

TEST(Parity, SentencePiece) {
  const std::string model = "../shared/models/tinystories-mha8";
  if (!path_exists(model)) GTEST_SKIP() << "needs " << model;
  expect_golden(model, "tinystories-mha8");
}

TEST(Parity, ByteLevelBpe) {
  REGROUP_REQUIRE_ORACLE();
  if (!path_exists("../shared/tokenizers/gpt2")) GTEST_SKIP() << "needs ../shared/tokenizers/gpt2";
  const TemporaryFolder folder;
  const std::string model = folder / "model";
  const std::string command = "HF_HUB_OFFLINE=1 " + oracle_python().value() +
                              " tests/oracles/seeded_model.py " + model +
                              " ../shared/tokenizers/gpt2 1>&2";
  ASSERT_EQ(std::system(command.c_str()), 0);
  expect_golden(model, "seeded-gpt2");
}

}  // namespace
}  // namespace regroup::testing
