#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "regroup/base/strict_json.h"

namespace regroup {

/// What stands beside the scores in lm-evaluation-harness's results, in the places that its versions have had for it.
/// @throws CheckpointError CFG_TYPE with the whole key of what has another type than it can have
class HarnessFields {
 public:
  HarnessFields(const Json& file, std::string path) : file_(file), path_(std::move(path)) {}

  /// A task's row in "results" or "groups".
  const Json& row(const char* part, const std::string& task) const;
  /// The score `key` of a row: NaN where there is no number; nothing where the key holds no score.
  std::optional<double> score(const std::string& task, const std::string& key,
                              const Json& value) const;
  /// Of a group without an own number: what all its tasks have.
  std::optional<int64_t> n_shot(const std::string& task) const;
  /// Items that were asked; 0: not known.
  int64_t items(const std::string& task, const std::string& key, const Json& row) const;
  std::string version(const std::string& task) const;
  std::optional<bool> higher_is_better(const std::string& task, const std::string& metric) const;
  /// The name of the model, else that of the file.
  std::string model() const;
  /// An object of the file, by its key; an empty one where there is none.
  const Json& part(const char* key) const;

 private:
  std::optional<int64_t> own_shots(const std::string& task) const;
  [[noreturn]] void refuse(const std::string& key, const char* must, const Json& found) const;
  /// The object `key` of `json`, which is called `where`.
  const Json& object(const Json& json, const std::string& key, const std::string& where) const;
  std::optional<int64_t> count(const Json& json, const char* key, const std::string& where) const;

  const Json& file_;
  std::string path_;
};

/// "acc,none" or, in older files, "acc": the metric and the filter of the answers.
std::pair<std::string, std::string> metric_and_filter(const std::string& key);

}  // namespace regroup
