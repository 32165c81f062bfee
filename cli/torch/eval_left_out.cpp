#include "eval_left_out.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "regroup/base/error.h"
#include "regroup/base/notice.h"
#include "regroup/base/printable.h"
#include "regroup/tasks/left_out.h"

namespace regroup {
namespace {

constexpr size_t kMostNamed = 5;

/// A question and the first model that has no room for it.
struct Misfit {
  int64_t tokens;
  size_t model;
};
using Misfits = std::map<size_t, Misfit>;  // of items

Misfits misfits_of(const OpenedTask& task) {
  Misfits found;
  for (size_t m = 0; m < task.too_long.size(); ++m) {
    for (const TooLongItem& item : task.too_long[m]) {
      found.try_emplace(item.item, Misfit{.tokens = item.tokens, .model = m});
    }
  }
  return found;
}

[[noreturn]] void refuse_all(const Task& task, const Misfit& first, const EvaluatedModel& model) {
  if (task.definition.kind == TaskKind::kGenerate) {
    throw ConfigError(
        {.code = "TASK_TOO_LONG",
         .message = fmt::format("an answer of {} tokens must leave room in the model's context of "
                                "{}",
                                first.tokens, model.config.max_positions),
         .hint = "questions of your own name another \"max_new_tokens\""});
  }
  throw CheckpointError(
      {.code = "TASK_TOO_LONG",
       .message =
           fmt::format("task {} must hold a question whose continuations fit into the {} "
                       "tokens that {} takes; question 1 has one of {}, and none fits",
                       task.name, model.config.max_positions, printable(model.path), first.tokens),
       .path = task.path,
       .hint = "shorten the continuations, or ask a model with a longer context"});
}

/// "doc_id 3 (140 tokens), 7 (131 tokens) and 4 more"
std::string named(const Task& task, const Misfits& misfits) {
  const std::vector<int64_t> ids = document_ids(task);
  std::string names;
  size_t n = 0;
  for (const auto& [item, misfit] : misfits) {
    if (++n > kMostNamed) break;
    const std::string& part = task.questions[item].part;
    names +=
        fmt::format("{}{}{} ({} tokens)", names.empty() ? "doc_id " : ", ",
                    part.empty() ? "" : task_row_name(task, part) + " ", ids[item], misfit.tokens);
  }
  return n > kMostNamed ? fmt::format("{} and {} more", names, misfits.size() - kMostNamed) : names;
}

}  // namespace

bool leave_out_too_long(OpenedTask& opened, const EvalModels& models) {
  const Misfits misfits = misfits_of(opened);
  if (misfits.empty()) return false;
  Task& task = opened.evaluated.task;
  const Misfit& first = misfits.begin()->second;
  const EvaluatedModel& model = models.all()[first.model].info;
  if (misfits.size() == task.questions.size()) refuse_all(task, first, model);
  const bool writes = task.definition.kind == TaskKind::kGenerate;
  const bool several = models.all().size() > 1;
  notice(fmt::format(
      "task {}: {} of {} questions are left out of {}, since {} {}: {}", task.name, misfits.size(),
      task.questions.size(), several ? "all models' scores" : "the scores",
      writes ? "their answers may fill" : "their continuations are longer than",
      several ? "the context of one of them"
              : fmt::format("the model's context of {} tokens", model.config.max_positions),
      named(task, misfits)));
  std::set<size_t> items;
  for (const auto& [item, misfit] : misfits) items.insert(item);
  leave_out(task, items);
  return true;
}

}  // namespace regroup
