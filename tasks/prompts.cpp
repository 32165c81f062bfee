#include "prompts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "python_random.h"
#include "regroup/base/error.h"

namespace regroup {
namespace {

// lm-evaluation-harness's target_delimiter and fewshot_delimiter.
constexpr const char* kBeforeAnswer = " ";
constexpr const char* kBehindExample = "\n\n";

bool has_several_contexts(const TaskQuestion& question) { return question.contexts.size() > 1; }

using Turns = std::vector<ChatTurn>;

/// A question with its answer.
void add_example(const TaskQuestion& question, Turns& turns) {
  const size_t gold = question.gold.empty() ? 0 : static_cast<size_t>(question.gold.front());
  const bool several = has_several_contexts(question);
  turns.push_back({"user", question.contexts[several ? gold : 0], kBeforeAnswer});
  turns.push_back({"assistant", question.choices[several ? 0 : gold], kBehindExample});
}

std::string joined(const Turns& turns) {
  std::string text;
  for (const ChatTurn& turn : turns) text += turn.content + turn.behind;
  return text;
}

/// All but the system's turn as one of the user's.
Turns as_one_turn(const Turns& turns) {
  const bool system = turns.front().role == "system";
  Turns one;
  if (system) one.push_back(turns.front());
  one.push_back({"user", joined({turns.begin() + (system ? 1 : 0), turns.end()}), ""});
  return one;
}

/// Examples for one question after the other: the draws of one generator, in the questions' order.
class Examples {
 public:
  Examples(const Task& task, const std::vector<TaskQuestion>& pool,
           const std::vector<Json>& documents, uint64_t seed)
      : task_(task), pool_(pool), documents_(documents), random_(seed) {}

  void add_before(size_t question, Turns& turns) {
    for (const int64_t i : choose(question)) add_example(pool_[static_cast<size_t>(i)], turns);
  }

 private:
  std::vector<int64_t> choose(size_t question) {
    if (task_.n_shot == 0) return {};
    return task_.definition.first_examples ? first(question) : drawn(question);
  }

  /// The first of its own part.
  std::vector<int64_t> first(size_t question) const {
    std::vector<int64_t> chosen;
    for (size_t i = 0; i < pool_.size() && !is_enough(chosen); ++i) {
      const bool itself =
          task_.definition.draws_own_split && documents_[i] == task_.documents[question];
      if (!itself && pool_[i].part == task_.questions[question].part) {
        chosen.push_back(static_cast<int64_t>(i));
      }
    }
    require(chosen.size());
    return chosen;
  }

  std::vector<int64_t> drawn(size_t question) {
    const auto n = static_cast<int64_t>(pool_.size());
    const bool own = task_.definition.draws_own_split;
    const int64_t k = task_.n_shot + (own ? 1 : 0);
    require(static_cast<size_t>(std::max<int64_t>(0, n - (own ? 1 : 0))));
    std::vector<int64_t> chosen = others(random_.sample(n, k), question, own);
    if (!is_enough(chosen)) {  // the question stands in the pool more than once
      std::vector<int64_t> left(static_cast<size_t>(n));
      for (int64_t i = 0; i < n; ++i) left[static_cast<size_t>(i)] = i;
      left = others(std::move(left), question, own, /*all=*/true);
      require(left.size());
      chosen.clear();
      for (const int64_t i : random_.sample(static_cast<int64_t>(left.size()), task_.n_shot)) {
        chosen.push_back(left[static_cast<size_t>(i)]);
      }
    }
    return chosen;
  }

  /// `drawn` without the question itself, and no more than wanted.
  std::vector<int64_t> others(std::vector<int64_t> drawn, size_t question, bool own,
                              bool all = false) const {
    if (own) {
      std::erase_if(drawn, [&](int64_t i) {
        return documents_[static_cast<size_t>(i)] == task_.documents[question];
      });
    }
    if (!all && is_enough(drawn)) drawn.resize(static_cast<size_t>(task_.n_shot));
    return drawn;
  }

  bool is_enough(const std::vector<int64_t>& chosen) const {
    return static_cast<int64_t>(chosen.size()) >= task_.n_shot;
  }

  void require(size_t there) const {
    if (static_cast<int64_t>(there) >= task_.n_shot) return;
    throw CheckpointError(
        {.code = "TASK_SHOTS",
         .message = fmt::format("task {} has {} documents to draw {} examples from", task_.name,
                                there, task_.n_shot),
         .path = task_.path,
         .hint = "ask for fewer with `num-fewshot`"});
  }

  const Task& task_;
  const std::vector<TaskQuestion>& pool_;
  const std::vector<Json>& documents_;
  PythonRandom random_;
};

}  // namespace

void write_requests(Task& task, const std::vector<TaskQuestion>& pool,
                    const std::vector<Json>& pool_documents, const TaskOptions& options,
                    const ChatWriter& chat) {
  const TaskKind kind = task.definition.kind;
  const bool converses = chat && kind != TaskKind::kRolling;
  size_t asked = 0;
  const auto written = [&](const Turns& turns) {
    if (!converses) return joined(turns);
    return chat(options.fewshot_as_singleturn ? as_one_turn(turns) : turns,
                fmt::format("question {} of task {}", asked + 1, task.name));
  };
  Examples examples(task, pool, pool_documents, static_cast<uint64_t>(options.shot_seed));
  for (size_t i = 0; i < task.questions.size(); ++i) {
    const TaskQuestion& question = task.questions[i];
    asked = i;
    Turns before;
    if (!question.description.empty()) before.push_back({"system", question.description, ""});
    examples.add_before(i, before);
    // An answer that is no choice begins with its own space; behind a chat template none stands before it.
    const bool bare = converses || kind != TaskKind::kMultipleChoice;
    auto& requests = task.requests.emplace_back();
    for (const std::string& context : question.contexts) {
      Turns turns = before;
      turns.push_back({"user", context, ""});
      const std::string prompt = written(turns);
      if (kind == TaskKind::kGenerate) {
        requests.emplace_back(prompt, "");
        break;
      }
      for (const std::string& choice : question.choices) {
        requests.emplace_back(prompt, (bare ? "" : kBeforeAnswer) + choice);
      }
    }
  }
}

}  // namespace regroup
