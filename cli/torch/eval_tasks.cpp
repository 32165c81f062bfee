#include "eval_tasks.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "eval_left_out.h"
#include "flag_values.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/notice.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"
#include "regroup/base/stop_signal.h"
#include "regroup/eval/answer_writer.h"
#include "regroup/eval/request_scorer.h"
#include "regroup/text/chat_template.h"
#include "regroup/text/tokenizer.h"

namespace regroup {
namespace {

std::string name_in_state(const std::string& task, size_t m) {
  return fmt::format("{}.{}", m, task);
}

void tell_of_truncation(const OpenedTask& task, const EvalModels& models) {
  for (size_t m = 0; m < task.encoded.size(); ++m) {
    const int64_t truncated = task.evaluated.truncated[m];
    if (truncated == 0) continue;
    const Task& asked = task.evaluated.task;
    const size_t all = asked.definition.kind == TaskKind::kGenerate
                           ? asked.questions.size()
                           : task.encoded[m]->requests.size();
    notice(fmt::format(
        "task {}: {} of {} requests are longer than the {} tokens that {} takes, and lose tokens "
        "at "
        "their start",
        asked.name, truncated, all, models.all()[m].info.config.max_positions,
        printable(models.all()[m].info.path)));
  }
}

/// Answers in words.
std::vector<std::string> answers_in_words(const EvalFlags& flags, EvalModels& models, size_t m,
                                          const Task& task, EvalState& state,
                                          const Globals& globals) {
  const EvaluatedModel& model = models.all()[m].info;
  const Tokenizer tokenizer = models.open_tokenizer_of(m, flags);
  const std::shared_ptr<const Decoder> decoder = models.decoder(m);
  const std::string name = name_in_state(task.name, m);
  const std::string of = models.all().size() > 1 ? printable(model.path) + " on " : "";
  ProgressLine progress(fmt::format("eval {}{}: ", of, task.name), globals.quiet);
  const size_t n = task.questions.size();
  WrittenAnswers answers = state.find_answers(name);
  if (answers.size() != n) answers.assign(n, std::nullopt);
  auto done = static_cast<size_t>(
      std::ranges::count_if(answers, [](const auto& answer) { return answer.has_value(); }));
  const Stopwatch watch;
  write_answers(*decoder, tokenizer, task, answers, [&] {
    ++done;
    progress.share(static_cast<double>(done) / static_cast<double>(n), watch.seconds(),
                   fmt::format("{} of {} questions", done, n));
    state.update_answers(name, answers, done == n);
  });
  std::vector<std::string> texts;
  for (auto& answer : answers) texts.push_back(std::move(*answer));
  return texts;
}

}  // namespace

std::function<void(const RequestProgress&)> request_progress(ProgressLine& line, int64_t n) {
  return [&line, n, watch = Stopwatch()](const RequestProgress& now) {
    line.share(now.share, watch.seconds(),
               fmt::format("{} of {} requests, {} of {} tokens", now.requests, n,
                           human_count(static_cast<double>(now.tokens)),
                           human_count(static_cast<double>(now.all_tokens))));
  };
}

RequestBatching batching_of(const EvalFlags& flags, const std::vector<TokenRequest>& requests) {
  if (flags.batch_size == "auto") return {};
  int64_t longest = 1;
  for (const TokenRequest& request : requests) {
    longest = std::max(longest, static_cast<int64_t>(request.ids.size()));
  }
  constexpr int64_t kMostTokens = int64_t{1} << 40;
  const int64_t count = parse_count(flags.batch_size, "--batch-size");
  return {.batch_tokens = std::min(count, kMostTokens / longest) * longest};
}

namespace {

/// Conversations as the model in `folder` writes them down; nothing where questions are no conversations. A template that
/// has no place for the system's turn is given the others, as lm-evaluation-harness does.
ChatWriter chat_writer(const EvalFlags& flags, const std::string& folder) {
  if (!flags.task_options.apply_chat_template) return {};
  auto chat =
      std::make_shared<const ChatTemplate>(ChatTemplate::open(folder, flags.documents.chat_date));
  return [chat](const std::vector<ChatTurn>& turns, const std::string& where) {
    const auto rendered = [&](bool with_system) {
      Json messages = Json::array();
      for (const ChatTurn& turn : turns) {
        if (!with_system && turn.role == "system") continue;
        messages.push_back({{"role", turn.role}, {"content", turn.content}});
      }
      return chat->render(messages.dump(), where, /*add_generation_prompt=*/true);
    };
    try {
      return rendered(/*with_system=*/true);
    } catch (const CheckpointError& error) {
      if (error.info().code != "TPL_MESSAGES" || turns.front().role != "system") throw;
      return rendered(/*with_system=*/false);
    }
  };
}

/// Writes down what each model is asked, as its tokenizer does.
void encode_tasks(const EvalFlags& flags, EvalModels& models,
                  const std::vector<OpenedTask*>& tasks) {
  for (OpenedTask* task : tasks) {
    task->encoded.clear();
    task->too_long.clear();
    task->evaluated.truncated.clear();
  }
  using Key = std::pair<std::string, int64_t>;  // a tokenizer and a context
  std::map<Key, std::vector<std::shared_ptr<const EncodedTask>>> known;
  for (size_t m = 0; m < models.all().size(); ++m) {
    const Tokenizer tokenizer = models.open_tokenizer_of(m, flags);
    const ModelConfig& config = models.all()[m].info.config;
    auto& encoded = known[{models.all()[m].tokenizer, config.max_positions}];
    for (size_t t = 0; t < tasks.size(); ++t) {
      throw_if_stopped(/*resumable=*/false);
      const Task& task = tasks[t]->evaluated.task;
      if (encoded.size() == t) {
        encoded.push_back(std::make_shared<const EncodedTask>(
            encode_task(task, tokenizer, config.max_positions, flags.task_options.bos_mode)));
      }
      tasks[t]->encoded.push_back(encoded[t]);
      const bool writes = task.definition.kind == TaskKind::kGenerate;
      PromptFit fit =
          writes ? fit_prompts(task, tokenizer, config)
                 : PromptFit{.cut = encoded[t]->truncated, .too_long = encoded[t]->too_long};
      tasks[t]->evaluated.truncated.push_back(fit.cut);
      tasks[t]->too_long.push_back(std::move(fit.too_long));
    }
  }
}

}  // namespace

std::vector<OpenedTask> open_tasks(const EvalFlags& flags, EvalModels& models) {
  std::vector<OpenedTask> tasks;
  if (flags.tasks.empty()) return tasks;
  const ChatWriter chat = chat_writer(flags, models.all().front().info.path);
  for (const std::string& name : flags.tasks) {
    throw_if_stopped(/*resumable=*/false);
    tasks.push_back(
        {.evaluated = {.task = open_task(name, flags.task_options, chat)}, .encoded = {}});
  }
  std::vector<OpenedTask*> asked;
  for (OpenedTask& task : tasks) asked.push_back(&task);
  encode_tasks(flags, models, asked);
  std::erase_if(asked, [&](OpenedTask* task) { return !leave_out_too_long(*task, models); });
  if (!asked.empty()) encode_tasks(flags, models, asked);
  for (const OpenedTask& task : tasks) tell_of_truncation(task, models);
  return tasks;
}

void score_tasks(const EvalFlags& flags, EvalModels& models, EvalState& state,
                 std::vector<OpenedTask>& tasks, const Globals& globals) {
  for (OpenedTask& task : tasks) task.evaluated.answers.resize(models.all().size());
  if (tasks.empty()) return;
  for (size_t m = 0; m < models.all().size(); ++m) {
    const std::shared_ptr<const Decoder> decoder = models.decoder(m);
    for (OpenedTask& task : tasks) {
      const EncodedTask& encoded = *task.encoded[m];
      const Task& asked = task.evaluated.task;
      if (asked.definition.kind == TaskKind::kGenerate) {
        task.evaluated.answers[m].texts = answers_in_words(flags, models, m, asked, state, globals);
        continue;
      }
      const auto n = static_cast<int64_t>(encoded.requests.size());
      const std::string name = name_in_state(asked.name, m);
      const std::string of =
          models.all().size() > 1 ? printable(models.all()[m].info.path) + " on " : "";
      ProgressLine progress(fmt::format("eval {}{}: ", of, asked.name), globals.quiet);
      std::vector<RequestScore> scores = state.find_requests(name);
      if (!scores.empty()) {
        spdlog::info("eval {}{}: goes on where it was stopped", of, asked.name);
      }
      const RequestBatching batching = batching_of(flags, encoded.requests);
      task.evaluated.batch_tokens.push_back(tokens_at_once(batching, decoder->device()));
      score_requests(
          *decoder, encoded.requests, batching, scores,
          [&](int64_t done) { state.update_requests(name, scores, done == n); },
          request_progress(progress, n));
      task.evaluated.answers[m].scores = scores_by_item(asked, encoded, scores);
    }
  }
}

}  // namespace regroup
