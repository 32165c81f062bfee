#include "regroup/eval/answer_writer.h"

#include <fmt/format.h>

#include <algorithm>

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

int64_t count_cut_prompts(const Task& task, const Tokenizer& tokenizer, const ModelConfig& config) {
  int64_t cut = 0;
  for (size_t i = 0; i < task.questions.size(); ++i) {
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
    if (tokens > room_for(task.questions[i], config)) ++cut;
  }
  return cut;
}

std::string write_answer(const Decoder& model, const Tokenizer& tokenizer,
                         const std::string& context, const TaskQuestion& question) {
  const int64_t room = room_for(question, model.config());
  std::vector<int32_t> prompt = encode_prompt(tokenizer, context);
  if (const int64_t over = static_cast<int64_t>(prompt.size()) - room; over > 0) {
    prompt.erase(prompt.begin(), prompt.begin() + over);
  }
  std::vector<int32_t> made;
  const SamplingOptions greedy{.max_new_tokens = question.max_new_tokens, .temperature = 0};
  generate(model, prompt, greedy, [&](int32_t id) {
    made.push_back(id);
    return !ends_with_a_stop(made, tokenizer, question);
  });
  std::string text = tokenizer.decode(made);
  for (const std::string& stop : question.until) text = text.substr(0, text.find(stop));
  return text;
}

}  // namespace regroup
