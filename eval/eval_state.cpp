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

constexpr const char* kFormat = "regroup-eval-state/2";
constexpr auto kWriteInterval = std::chrono::seconds(30);

static_assert(sizeof(WindowScore) == 32, "a window is stored as it lies in memory");

template <typename T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
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
  const auto& metadata = file.header().metadata;
  const auto found = metadata.find(name);
  return found == metadata.end() ? std::string() : found->second;
}

/// The texts of a state file, or nothing where it is not one of this evaluation.
std::optional<std::vector<PartialScores>> read_texts(const std::string& path,
                                                     const std::string& key) {
  const SafetensorsFile file{InputFile(path)};
  if (metadata_of(file, "format") != kFormat) return std::nullopt;
  if (metadata_of(file, "key") != key) return std::nullopt;
  const std::string whole = file.file().read_all();
  const std::string data = whole.substr(static_cast<size_t>(file.header().data_begin));
  if (sha256_of_text(data) != metadata_of(file, "sha256")) return std::nullopt;
  std::vector<PartialScores> texts;
  for (size_t t = 0; file.find(name_of(t, 0)) != nullptr; ++t) {
    PartialScores text;
    for (size_t m = 0; file.find(name_of(t, m)) != nullptr; ++m) {
      text.scores.push_back(
          {.windows = values_of<WindowScore>(file, name_of(t, m)),
           .positions = values_of<WindowScore>(file, name_of(t, m) + ".positions"),
           .token_nll = values_of<float>(file, name_of(t, m) + ".nll")});
    }
    text.windows = static_cast<int64_t>(text.scores.front().windows.size());
    texts.push_back(std::move(text));
  }
  return texts;
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
  std::optional<std::vector<PartialScores>> texts;
  try {
    texts = read_texts(path_, key_);
  } catch (const CheckpointError&) {  // damaged
  }
  if (texts) {
    texts_ = std::move(*texts);
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
  const bool due =
      stop_signal() != 0 || std::chrono::steady_clock::now() - written_ >= kWriteInterval;
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

void EvalState::write() {
  std::vector<TensorSpec> specs;
  std::string data;
  for (size_t t = 0; t < texts_.size(); ++t) {
    for (size_t m = 0; m < texts_[t].scores.size(); ++m) {
      const TextScore& score = texts_[t].scores[m];
      const std::string windows = raw(score.windows);
      const std::string positions = raw(score.positions);
      const std::string nll = raw(score.token_nll);
      specs.push_back({name_of(t, m), Dtype::kU8, {static_cast<int64_t>(windows.size())}});
      specs.push_back(
          {name_of(t, m) + ".positions", Dtype::kU8, {static_cast<int64_t>(positions.size())}});
      if (!nll.empty()) {
        specs.push_back({name_of(t, m) + ".nll", Dtype::kU8, {static_cast<int64_t>(nll.size())}});
      }
      data += windows + positions + nll;
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
