#include "regroup/eval/eval_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/input_file.h"
#include "regroup/base/notice.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/safetensors.h"

namespace regroup {
namespace {

constexpr const char* kFormat = "regroup-eval-state/6";
constexpr auto kWriteInterval = std::chrono::seconds(30);

static_assert(sizeof(WindowScore) == 64, "a window is stored as it lies in memory");

template <typename T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

void add_tensor(const std::string& name, const std::string& bytes, std::vector<TensorSpec>& specs,
                std::string& data) {
  specs.push_back({name, Dtype::kU8, {static_cast<int64_t>(bytes.size())}});
  data += bytes;
}

/// "3.1": model 1 on text 3.
std::string name_of(size_t text, size_t model) { return fmt::format("{}.{}", text, model); }

template <typename T>
std::vector<T> values_of(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo* info = file.find(name);
  if (info == nullptr) return {};
  std::vector<T> values(static_cast<size_t>(info->bytes()) / sizeof(T));
  file.read(*info, 0, std::as_writable_bytes(std::span(values)));
  return values;
}

std::string metadata_of(const SafetensorsFile& file, const char* name) {
  const auto& metadata = file.table().metadata;
  const auto found = metadata.find(name);
  return found == metadata.end() ? std::string() : found->second;
}

constexpr std::string_view kRequests = "requests.";
constexpr std::string_view kAnswers = "answers.";

/// What a state file holds.
struct Stored {
  std::vector<PartialScores> texts;
  std::map<std::string, std::vector<RequestScore>> requests;
  std::map<std::string, WrittenAnswers> answers;
};

/// [log-likelihood, 1 or 0, matched] of each request.
std::string raw_scores(const std::vector<RequestScore>& scores) {
  std::vector<double> numbers;
  for (const RequestScore& score : scores) {
    numbers.insert(numbers.end(), {score.log_likelihood, score.greedy ? 1.0 : 0.0,
                                   static_cast<double>(score.matched)});
  }
  return raw(numbers);
}

std::vector<RequestScore> scores_of(const SafetensorsFile& file, const std::string& name) {
  const auto numbers = values_of<double>(file, name);
  std::vector<RequestScore> scores;
  for (size_t i = 0; i + 2 < numbers.size(); i += 3) {
    scores.push_back({.log_likelihood = numbers[i],
                      .greedy = numbers[i + 1] > 0,
                      .matched = static_cast<int64_t>(numbers[i + 2])});
  }
  return scores;
}

/// A list of texts, null where none is yet.
std::string packed(const WrittenAnswers& answers) {
  Json list = Json::array();
  for (const auto& answer : answers) list.push_back(answer ? Json(*answer) : Json());
  return list.dump(-1, ' ', true, Json::error_handler_t::replace);
}

WrittenAnswers answers_of(const std::vector<char>& bytes) {
  WrittenAnswers answers;
  for (const Json& answer : Json::parse(bytes.begin(), bytes.end())) {
    answers.push_back(answer.is_null() ? std::nullopt : std::optional(answer.get<std::string>()));
  }
  return answers;
}

/// What a state file holds, or nothing where it is not one of this evaluation.
std::optional<Stored> read_state(const std::string& path, const std::string& key) {
  const SafetensorsFile file{InputFile(path)};
  if (metadata_of(file, "format") != kFormat) return std::nullopt;
  if (metadata_of(file, "key") != key) return std::nullopt;
  const std::string whole = file.file().read_all();
  const std::string data = whole.substr(static_cast<size_t>(file.table().data_begin));
  if (sha256_of_text(data) != metadata_of(file, "sha256")) return std::nullopt;
  Stored stored;
  for (size_t t = 0; file.find(name_of(t, 0)) != nullptr; ++t) {
    PartialScores text;
    for (size_t m = 0; file.find(name_of(t, m)) != nullptr; ++m) {
      text.scores.push_back(
          {.windows = values_of<WindowScore>(file, name_of(t, m)),
           .positions = values_of<WindowScore>(file, name_of(t, m) + ".positions"),
           .token_nll = values_of<float>(file, name_of(t, m) + ".nll"),
           .kl_blocks = unpack_histograms(values_of<uint64_t>(file, name_of(t, m) + ".kl")),
           .delta_p_blocks =
               unpack_histograms(values_of<uint64_t>(file, name_of(t, m) + ".delta_p"))});
    }
    text.windows = static_cast<int64_t>(text.scores.front().windows.size());
    stored.texts.push_back(std::move(text));
  }
  for (const TensorInfo& info : file.tensors()) {
    if (info.name.starts_with(kAnswers)) {
      stored.answers[info.name.substr(kAnswers.size())] =
          answers_of(values_of<char>(file, info.name));
    }
    if (!info.name.starts_with(kRequests)) continue;
    stored.requests[info.name.substr(kRequests.size())] = scores_of(file, info.name);
  }
  return stored;
}

}  // namespace

bool holds_eval_state(const std::string& path) {
  try {
    return path_exists(path) && metadata_of(SafetensorsFile{InputFile(path)}, "format") == kFormat;
  } catch (const CheckpointError&) {  // something else
    return false;
  }
}

EvalState::EvalState(std::string path, const Json& key)
    : path_(std::move(path)), key_(sha256_of_text(key.dump())) {
  if (!path_.empty() && path_exists(path_)) read();
}

void EvalState::read() {
  std::optional<Stored> stored;
  try {
    stored = read_state(path_, key_);
  } catch (const CheckpointError&) {  // damaged
  }
  if (stored) {
    texts_ = std::move(stored->texts);
    requests_ = std::move(stored->requests);
    answers_ = std::move(stored->answers);
    is_ours_ = true;
    return;
  }
  notice(fmt::format(
      "{}: holds no state of this evaluation (other settings, other models or texts, or it is "
      "damaged): it begins anew",
      printable(path_)));
}

PartialScores EvalState::find(size_t text) const {
  return text < texts_.size() ? texts_[text] : PartialScores();
}

void EvalState::update(size_t text, const PartialScores& scores) {
  if (path_.empty()) return throw_if_stopped(/*resumable=*/false);
  const bool due = is_due();
  const auto n_windows = static_cast<int64_t>(scores.scores.front().windows.size());
  const bool whole = scores.windows == n_windows;  // no later call would bring it
  if (!due && !whole) return;
  texts_.resize(std::max(texts_.size(), text + 1));
  texts_[text] = scores;
  for (TextScore& score : texts_[text].scores) {
    score.windows.resize(static_cast<size_t>(scores.windows));
  }
  if (!due) return;
  write();
  throw_if_stopped(/*resumable=*/true);
}

std::vector<RequestScore> EvalState::find_requests(const std::string& name) const {
  const auto found = requests_.find(name);
  return found == requests_.end() ? std::vector<RequestScore>() : found->second;
}

void EvalState::update_requests(const std::string& name, const std::vector<RequestScore>& scores,
                                bool whole) {
  keep(requests_, name, scores, whole);
}

WrittenAnswers EvalState::find_answers(const std::string& name) const {
  const auto found = answers_.find(name);
  return found == answers_.end() ? WrittenAnswers() : found->second;
}

void EvalState::update_answers(const std::string& name, const WrittenAnswers& answers, bool whole) {
  keep(answers_, name, answers, whole);
}

template <typename Values>
void EvalState::keep(std::map<std::string, Values>& all, const std::string& name,
                     const Values& values, bool whole) {
  if (path_.empty()) return throw_if_stopped(/*resumable=*/false);
  const bool due = is_due();
  if (!due && !whole) return;
  all[name] = values;
  if (!due) return;
  write();
  throw_if_stopped(/*resumable=*/true);
}

bool EvalState::is_due() const {
  return stop_signal() != 0 || std::chrono::steady_clock::now() - written_ >= kWriteInterval;
}

void EvalState::write() {
  std::vector<TensorSpec> specs;
  std::string data;
  for (const auto& [name, answers] : answers_) {
    add_tensor(std::string(kAnswers) + name, packed(answers), specs, data);
  }
  for (const auto& [name, scores] : requests_) {
    add_tensor(std::string(kRequests) + name, raw_scores(scores), specs, data);
  }
  for (size_t t = 0; t < texts_.size(); ++t) {
    for (size_t m = 0; m < texts_[t].scores.size(); ++m) {
      const TextScore& score = texts_[t].scores[m];
      add_tensor(name_of(t, m), raw(score.windows), specs, data);
      add_tensor(name_of(t, m) + ".positions", raw(score.positions), specs, data);
      if (!score.token_nll.empty()) {
        add_tensor(name_of(t, m) + ".nll", raw(score.token_nll), specs, data);
      }
      if (score.kl_blocks.empty()) continue;
      add_tensor(name_of(t, m) + ".kl", raw(pack_histograms(score.kl_blocks)), specs, data);
      add_tensor(name_of(t, m) + ".delta_p", raw(pack_histograms(score.delta_p_blocks)), specs,
                 data);
    }
  }
  const std::string prefix = make_safetensors_prefix(
      specs, {{"format", kFormat}, {"key", key_}, {"sha256", sha256_of_text(data)}});
  write_file_atomically(path_, prefix + data);
  written_ = std::chrono::steady_clock::now();
  is_ours_ = true;
}

void EvalState::finish() {
  if (is_ours_ && path_exists(path_)) remove_tree(path_);
}

}  // namespace regroup
