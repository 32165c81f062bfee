#include "regroup/eval/answer_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "regroup/base/error.h"
#include "regroup/model/generate.h"
#include "regroup/tasks/token_request.h"

namespace regroup {
namespace {

/// Tokens that a context may have.
int64_t room_for(const TaskQuestion& question, const ModelConfig& config) {
  const int64_t room = config.max_positions - question.max_new_tokens;
  if (room >= 1) return room;
  throw ConfigError(
      {.code = "TASK_TOO_LONG",
       .message = fmt::format("an answer of {} tokens must leave room in the model's context of {}",
                              question.max_new_tokens, config.max_positions),
       .hint = "questions of your own name another \"max_new_tokens\""});
}

size_t longest_stop(const TaskQuestion& question) {
  size_t longest = 0;
  for (const std::string& stop : question.until) longest = std::max(longest, stop.size());
  return longest;
}

/// Whether the last tokens hold a stop. Each is a byte at least, and a text may lose a space at its start.
bool ends_with_a_stop(const std::vector<int32_t>& ids, const Tokenizer& tokenizer,
                      const TaskQuestion& question) {
  const size_t tail = std::min(ids.size(), longest_stop(question) + 8);
  const std::string text = tokenizer.decode({ids.end() - static_cast<int64_t>(tail), ids.end()});
  return std::any_of(question.until.begin(), question.until.end(),
                     [&](const std::string& stop) { return text.find(stop) != std::string::npos; });
}

}  // namespace

PromptFit fit_prompts(const Task& task, const Tokenizer& tokenizer, const ModelConfig& config) {
  PromptFit fit;
  for (size_t i = 0; i < task.questions.size(); ++i) {
    const int64_t answer = task.questions[i].max_new_tokens;
    if (answer >= config.max_positions) {
      fit.too_long.push_back({.item = i, .tokens = answer});
      continue;
    }
    const auto tokens =
        static_cast<int64_t>(encode_prompt(tokenizer, task.requests[i].front().first).size());
    if (tokens == 0) {
      throw CheckpointError({.code = "TASK_SCHEMA",
                             .message = fmt::format("question {} of task {} has no token before "
                                                    "its answer",
                                                    i + 1, task.name),
                             .path = task.path,
                             .hint = "take the question out"});
    }
    if (tokens > room_for(task.questions[i], config)) ++fit.cut;
  }
  return fit;
}

void write_answers(const Decoder& model, const Tokenizer& tokenizer, const Task& task,
                   std::vector<std::optional<std::string>>& answers,
                   const std::function<void()>& after_answer) {
  answers.resize(task.questions.size());
  std::vector<size_t> asked;
  std::vector<GreedyPrompt> prompts;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i]) continue;
    const TaskQuestion& question = task.questions[i];
    const int64_t room = room_for(question, model.config());
    std::vector<int32_t> ids = encode_prompt(tokenizer, task.requests[i].front().first);
    if (const int64_t over = static_cast<int64_t>(ids.size()) - room; over > 0) {
      ids.erase(ids.begin(), ids.begin() + over);
    }
    asked.push_back(i);
    prompts.push_back({std::move(ids), question.max_new_tokens});
  }
  std::vector<std::vector<int32_t>> made(prompts.size());
  generate_greedily(
      model, prompts,
      [&](size_t p, int32_t id) {
        made[p].push_back(id);
        return !ends_with_a_stop(made[p], tokenizer, task.questions[asked[p]]);
      },
      [&](size_t p) {
        std::string text = tokenizer.decode(std::exchange(made[p], {}));
        for (const std::string& stop : task.questions[asked[p]].until) {
          text = text.substr(0, text.find(stop));
        }
        answers[asked[p]] = std::move(text);
        if (after_answer) after_answer();
      });
}

}  // namespace regroup
