// Questions that no model is asked.
#include "regroup/tasks/left_out.h"

#include <algorithm>
#include <utility>

namespace regroup {
namespace {

template <typename Value>
void keep_others(std::vector<Value>& values, const std::set<size_t>& items) {
  std::vector<Value> kept;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!items.contains(i)) kept.push_back(std::move(values[i]));
  }
  values = std::move(kept);
}

}  // namespace

std::vector<int64_t> document_ids(const Task& task) {
  std::map<std::string, int64_t> next;  // of each part
  std::vector<int64_t> ids;
  for (const TaskQuestion& question : task.questions) {
    int64_t& id = next[question.part];
    if (const auto found = task.left_out.find(question.part); found != task.left_out.end()) {
      while (std::ranges::binary_search(found->second, id)) ++id;
    }
    ids.push_back(id++);
  }
  return ids;
}

void leave_out(Task& task, const std::set<size_t>& items) {
  const std::vector<int64_t> ids = document_ids(task);
  for (const size_t item : items) task.left_out[task.questions[item].part].push_back(ids[item]);
  for (auto& [part, left_out] : task.left_out) std::ranges::sort(left_out);
  keep_others(task.documents, items);
  keep_others(task.questions, items);
  keep_others(task.requests, items);
}

}  // namespace regroup
