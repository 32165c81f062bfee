#include "task_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

constexpr size_t kMaxChoices = 1000;

std::string shown(const Json& value) {
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

}  // namespace

void TaskRecord::refuse(const std::string& message) const {
  throw CheckpointError({.code = "TASK_SCHEMA",
                         .message = message,
                         .path = where_,
                         .hint = "docs/tasks.md has the forms that are read"});
}

bool TaskRecord::has(const char* key) const { return json_.is_object() && json_.contains(key); }

const Json& TaskRecord::at(const char* key) const {
  if (!json_.is_object()) {
    refuse(fmt::format("must be an object, found a JSON {}", json_.type_name()));
  }
  const auto found = json_.find(key);
  if (found == json_.end()) {
    std::string keys;
    for (const auto& [name, value] : json_.items()) {
      if (keys.size() < 200) keys += (keys.empty() ? "" : ", ") + printable(name, 40);
    }
    refuse(fmt::format("must hold \"{}\", found {}", key,
                       keys.empty() ? "no keys" : "the keys " + keys));
  }
  return *found;
}

std::string TaskRecord::text(const char* key) const {
  const Json& value = at(key);
  if (!value.is_string()) {
    refuse(fmt::format("\"{}\" must be a text, found {}", key, shown(value)));
  }
  return value.get<std::string>();
}

std::vector<std::string> TaskRecord::texts(const char* key) const {
  const Json& value = at(key);
  if (!value.is_array() || value.empty() || value.size() > kMaxChoices) {
    refuse(fmt::format("\"{}\" must be a list of 1 to {} texts, found {}", key, kMaxChoices,
                       value.is_array() ? std::to_string(value.size()) : shown(value)));
  }
  std::vector<std::string> texts;
  for (const Json& one : value) {
    if (!one.is_string() || one.get_ref<const std::string&>().empty()) {
      refuse(fmt::format("\"{}\" must hold texts that are not empty, found {}", key, shown(one)));
    }
    texts.push_back(one.get<std::string>());
  }
  return texts;
}

TaskRecord TaskRecord::object(const char* key) const {
  const Json& value = at(key);
  if (!value.is_object()) {
    refuse(fmt::format("\"{}\" must be an object, found {}", key, shown(value)));
  }
  return {value, where_};
}

int64_t TaskRecord::label(const Json& value, const char* key, int64_t end) const {
  int64_t number = -1;
  if (value.is_boolean()) {
    number = value.get<bool>() ? 1 : 0;
  } else if (value.is_number_unsigned()) {
    number = static_cast<int64_t>(std::min<uint64_t>(value.get<uint64_t>(), INT64_MAX));
  } else if (value.is_string()) {
    const auto& digits = value.get_ref<const std::string&>();
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) number = -1;
  }
  if (number < 0 || number >= end) {
    refuse(
        fmt::format("\"{}\" must be a number from 0 to {}, found {}", key, end - 1, shown(value)));
  }
  return number;
}

int64_t TaskRecord::label(const char* key, int64_t end) const { return label(at(key), key, end); }

std::vector<int64_t> TaskRecord::labels(const char* key, int64_t end) const {
  const Json& value = at(key);
  if (!value.is_array()) return {label(value, key, end)};
  std::vector<int64_t> labels;
  for (const Json& one : value) labels.push_back(label(one, key, end));
  if (labels.empty()) refuse(fmt::format("\"{}\" must name a right answer, found none", key));
  return labels;
}

int64_t lettered_gold(const TaskRecord& choices, const std::string& answer) {
  const std::vector<std::string> letters = choices.texts("label");
  const auto found = std::find(letters.begin(), letters.end(), answer);
  if (found == letters.end() || letters.size() != choices.texts("text").size()) {
    choices.refuse(fmt::format("\"answerKey\" must be one of the labels of its choices, found {}",
                               printable(answer, 20)));
  }
  return found - letters.begin();
}

}  // namespace regroup
