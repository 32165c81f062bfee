#include "harness_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "regroup/base/printable.h"
#include "regroup/results/fields.h"

namespace regroup {
namespace {

/// What is a count of items, a name, or belongs to another number.
bool is_no_metric(const std::string& metric) {
  constexpr auto kOthers =
      std::to_array<std::string_view>({"name", "alias", "sample_len", "sample_count", "samples"});
  return metric.ends_with("_stderr") ||
         std::find(kOthers.begin(), kOthers.end(), metric) != kOthers.end();
}

/// What versions of the harness, and tools like it, write where there is no number.
bool says_no_number(const Json& value) {
  if (value.is_null()) return true;  // NaN and Infinity of Python too
  if (!value.is_string()) return false;
  std::string text = value.get<std::string>();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  constexpr auto kWords =
      std::to_array<std::string_view>({"n/a", "nan", "inf", "-inf", "infinity", "-infinity"});
  return std::find(kWords.begin(), kWords.end(), text) != kWords.end();
}

std::string text_in(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Which arguments of the harness name a model, the one that counts first.
constexpr auto kModelArguments =
    std::to_array<const char*>({"peft", "delta", "pretrained", "model", "path", "engine"});

/// "pretrained=a/b,dtype=float32" -> "a/b".
std::string model_in(const std::string& arguments) {
  for (const char* name : kModelArguments) {
    const std::string key = std::string(name) + "=";
    size_t at = arguments.starts_with(key) ? 0 : arguments.find("," + key);
    if (at == std::string::npos) continue;
    at = arguments.find('=', at) + 1;
    return arguments.substr(at, arguments.find(',', at) - at);
  }
  return {};
}

}  // namespace

std::pair<std::string, std::string> metric_and_filter(const std::string& key) {
  const size_t comma = key.find(',');
  if (comma == std::string::npos) return {key, "none"};
  return {key.substr(0, comma), key.substr(comma + 1)};
}

void HarnessFields::refuse(const std::string& key, const char* must, const Json& found) const {
  wrong_type(path_, fmt::format(
                        "\"{}\" must be {}, found {}", printable(key, 120), must,
                        printable(found.dump(-1, ' ', false, Json::error_handler_t::replace), 40)));
}

const Json& HarnessFields::object(const Json& json, const std::string& key,
                                  const std::string& where) const {
  static const Json kNone = Json::object();
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return kNone;
  if (!found->is_object()) refuse(where + key, "an object", *found);
  return *found;
}

std::optional<int64_t> HarnessFields::count(const Json& json, const char* key,
                                            const std::string& where) const {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return std::nullopt;
  const bool fits = found->is_number_integer() && found->get<int64_t>() >= 0;
  if (!fits) refuse(where + key, "a whole number from 0", *found);
  return found->get<int64_t>();
}

const Json& HarnessFields::part(const char* key) const { return object(file_, key, ""); }

const Json& HarnessFields::row(const char* part_name, const std::string& task) const {
  const Json& row = object(part(part_name), task, std::string(part_name) + ".");
  return row;
}

std::optional<double> HarnessFields::score(const std::string& task, const std::string& key,
                                           const Json& value) const {
  if (is_no_metric(metric_and_filter(key).first)) return std::nullopt;
  if (value.is_number()) return value.get<double>();
  if (says_no_number(value)) return std::numeric_limits<double>::quiet_NaN();
  if (key.find(',') == std::string::npos) return std::nullopt;  // a note
  refuse("results." + task + "." + key, "a number or \"N/A\"", value);
}

std::optional<int64_t> HarnessFields::own_shots(const std::string& task) const {
  if (const auto known = count(part("n-shot"), task.c_str(), "n-shot.")) return known;
  const Json& config = object(part("configs"), task, "configs.");
  const auto found = config.find("num_fewshot");
  if (found == config.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<int64_t>();
}

std::optional<int64_t> HarnessFields::n_shot(const std::string& task) const {
  if (const auto own = own_shots(task)) return own;
  const Json& groups = part("group_subtasks");
  std::optional<int64_t> all;
  std::set<std::string> seen = {task};  // a damaged file may turn in a circle
  for (std::vector<std::string> left = {task}; !left.empty();) {
    const std::string group = left.back();
    left.pop_back();
    const auto members = groups.find(group);
    if (members == groups.end() || !members->is_array()) return std::nullopt;
    for (const Json& member : *members) {
      if (!member.is_string()) refuse("group_subtasks." + group, "a list of texts", *members);
      const auto name = member.get<std::string>();
      const auto own = own_shots(name);
      if (own && all && *own != *all) return std::nullopt;
      if (own) all = own;
      if (!own && seen.insert(name).second) left.push_back(name);
    }
  }
  return all;
}

int64_t HarnessFields::items(const std::string& task, const std::string& key,
                             const Json& row) const {
  const std::string in_row = "results." + task + ".";
  const Json& samples = object(part("n-samples"), task, "n-samples.");
  if (const auto n = count(samples, "effective", "n-samples." + task + ".")) return *n;
  for (const char* name : {"sample_count", "samples"}) {
    const auto counts = row.find(name);
    if (counts == row.end() || !counts->is_object()) continue;
    const char* of = std::string_view(name) == "samples" ? "effective" : key.c_str();
    if (const auto n = count(*counts, of, in_row + name + ".")) return *n;
  }
  return count(row, "sample_len", in_row).value_or(0);
}

std::string HarnessFields::version(const std::string& task) const {
  const Json& versions = part("versions");
  const auto found = versions.find(task);
  if (found == versions.end() || found->is_null()) return {};
  if (found->is_structured()) refuse("versions." + task, "a number or a text", *found);
  if (found->is_number()) return fmt::format("{}", found->get<double>());
  const std::string text = found->is_string() ? found->get<std::string>() : found->dump();
  return text == "N/A" || text == "Yaml" ? "" : text;
}

std::optional<bool> HarnessFields::higher_is_better(const std::string& task,
                                                    const std::string& metric) const {
  const Json& directions = object(part("higher_is_better"), task, "higher_is_better.");
  const auto found = directions.find(metric);
  if (found == directions.end() || !found->is_boolean()) return std::nullopt;
  return found->get<bool>();
}

std::string HarnessFields::model() const {
  std::string name = text_in(file_, "model_name");
  const Json& config = part("config");
  const auto arguments = config.find("model_args");
  if (name.empty() && arguments != config.end() && arguments->is_string()) {
    name = model_in(arguments->get<std::string>());
  }
  if (arguments != config.end() && arguments->is_object()) {
    for (const char* key : kModelArguments) {
      if (name.empty()) name = text_in(*arguments, key);
    }
  }
  return name.empty() ? std::filesystem::path(path_).stem().string() : name;
}

}  // namespace regroup
