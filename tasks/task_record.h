#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// A record of a task's file, looked at key by key. @throws CheckpointError TASK_SCHEMA naming file, line and key
class TaskRecord {
 public:
  TaskRecord(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  bool has(const char* key) const;
  std::string text(const char* key) const;
  /// A list of texts, none of them empty.
  std::vector<std::string> texts(const char* key) const;
  TaskRecord object(const char* key) const;
  /// A number that the file may write as a number, as digits or as true and false, in [0, end).
  int64_t label(const char* key, int64_t end) const;
  std::vector<int64_t> labels(const char* key, int64_t end) const;
  const Json& json() const { return json_; }
  const std::string& where() const { return where_; }
  [[noreturn]] void refuse(const std::string& message) const;

 private:
  const Json& at(const char* key) const;
  int64_t label(const Json& value, const char* key, int64_t end) const;

  const Json& json_;
  std::string where_;
};

/// The place of `answer` among the letters or digits of "label", as ARC writes them: {"text": [..], "label": [..]}.
int64_t lettered_gold(const TaskRecord& choices, const std::string& answer);

}  // namespace regroup
