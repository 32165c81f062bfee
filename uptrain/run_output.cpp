#include "run_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/output_path.h"

namespace regroup {
namespace {

namespace fs = std::filesystem;
constexpr const char* kRecipe = "/recipe.toml";
constexpr const char* kData = "/data";
constexpr const char* kNewData = "/data.partial";  // of a run that replaces another one
constexpr uintmax_t kWorthKeeping = 1 << 20;  // bytes of token files; fewer are made in no time

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& path,
                         const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .path = path, .hint = hint});
}

/// Refuses what stands in OUT and must stay. @return whether OUT holds a run of ours
bool check_output(const UptrainOptions& options) {
  const std::string& out = options.out;
  std::vector<std::string> inputs = options.data;
  inputs.insert(inputs.end(), {options.model, options.valid, options.teacher});
  check_output_place(out, inputs);
  // A recipe alone may be anybody's. The lock stays in every folder that a run was ever in, and a copy
  // made without hidden files still has the metrics.
  const bool ours = path_exists(out + kRecipe) &&
                    (path_exists(out + "/.lock") || path_exists(out + "/metrics.jsonl"));
  if (path_exists(out) && !ours) {
    refuse("OUTPUT_EXISTS", "must not exist, and holds no run of regroup uptrain", out,
           "choose another name");
  }
  if (path_exists(out + "/model") && !options.overwrite) {
    refuse("OUTPUT_EXISTS", "holds a finished run", out,
           "choose another name, or give `overwrite`");
  }
  if (options.resume == ResumeMode::kRequired && !ours) {
    refuse("PARTIAL_MISSING", "must hold an interrupted run, as `resume` required asks", out,
           "leave out `resume` to start anew");
  }
  return ours;
}

/// Removes what is in `folder`, but for files of these names.
void remove_others(const std::string& folder, const std::vector<std::string>& kept) {
  std::vector<std::string> others;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (std::find(kept.begin(), kept.end(), name) == kept.end()) others.push_back(entry.path());
  }
  for (const std::string& path : others) remove_tree(path);
}

/// Names of the token files in a folder that are finished: those with a sidecar.
std::vector<std::string> finished_files(const std::string& data) {
  std::vector<std::string> names;
  if (!is_folder(data)) return names;
  for (const auto& entry : fs::directory_iterator(data)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".bin") && path_exists(data + "/" + name + ".json")) names.push_back(name);
  }
  return names;
}

}  // namespace

// Delegates, so that what follows is undone when it throws.
RunOutput::RunOutput(const UptrainOptions& options, Tell tell)
    : RunOutput(options.out, std::move(tell)) {
  const bool ours = check_output(options);
  const bool fresh = !path_exists(out_);
  replaces_ = ours && (path_exists(out_ + "/model") || options.resume == ResumeMode::kNever);
  make_folder(out_);
  lock_ = lock_folder(out_);
  fresh_ = fresh;
  // What makes the folder ours; settings that a run in it contradicts must not replace its own.
  if (!ours) write_file_atomically(out_ + kRecipe, options.recipe_text);
  remove_tree(out_ + kNewData);  // what a killed run left
}

RunOutput::~RunOutput() {
  if (lock_.get() < 0) return;  // another process's, or the work is under way
  try {
    undo();
  } catch (const std::exception&) {  // of the error that is under way users must hear
  }
}

void RunOutput::undo() {
  remove_tree(out_ + kNewData);
  if (!fresh_) return;
  const std::string data = out_ + kData;
  const std::vector<std::string> finished = finished_files(data);
  std::vector<std::string> kept;
  uintmax_t bytes = 0;
  for (const std::string& name : finished) {
    kept.insert(kept.end(), {name, name + ".json"});
    bytes += fs::file_size(data + "/" + name);
  }
  if (bytes < kWorthKeeping) return remove_tree(out_);
  remove_others(data, kept);
  remove_others(out_, {kRecipe + 1, kData + 1, ".lock"});  // what makes it a run that can go on
  if (!tell_) return;
  const bool one = finished.size() == 1;
  tell_(fmt::format("{}: {} token file{} kept; the same command finds {} there", printable(data),
                    finished.size(), one ? " is" : "s are", one ? "it" : "them"));
}

std::string RunOutput::data_folder() const { return out_ + (replaces_ ? kNewData : kData); }

void RunOutput::drop_replaced() {
  if (!replaces_) return;
  drop_run(/*keep_data=*/false);
  if (path_exists(out_ + kNewData)) {
    rename_path(out_ + kNewData, out_ + kData, /*replace=*/false);
  }
}

void RunOutput::drop_interrupted() { drop_run(/*keep_data=*/true); }

void RunOutput::drop_run(bool keep_data) {
  // The finished model goes last: killed in between, OUT still holds a run that asks for --overwrite.
  for (const char* name : {"/checkpoints", "/metrics.jsonl", "/tensorboard"}) {
    remove_tree(out_ + name);
  }
  if (!keep_data) remove_tree(out_ + kData);
  remove_tree(out_ + "/model");
}

FileDescriptor RunOutput::keep(const std::string& recipe) {
  write_file_atomically(out_ + kRecipe, recipe);
  return std::move(lock_);
}

}  // namespace regroup
