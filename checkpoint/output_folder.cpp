#include "regroup/checkpoint/output_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/folder_tree.h"
#include "regroup/base/manifest_name.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/manifest.h"
#include "regroup/checkpoint/output_path.h"

namespace regroup {
namespace {

constexpr const char* kLock = ".lock";
constexpr const char* kJob = "JOB.json";
constexpr const char* kProgress = "PROGRESS.json";
constexpr const char* kStagingSuffix = ".tmp";

/// Adds "arguments.kv_heads (was 2, now 1)" for each field that differs, objects field by field.
void add_differing(const Json& before, const Json& now, const std::string& prefix,
                   std::vector<std::string>& fields) {
  const auto member = [](const Json& object, const std::string& key) {
    return object.contains(key) ? object[key] : Json();
  };
  const auto text = [](const Json& value) {
    return value.is_null() ? "nothing" : printable(value.dump(), 80);
  };
  const auto compare = [&](const std::string& key) {
    const Json was = member(before, key);
    const Json is = member(now, key);
    const std::string name = prefix + printable(key, 80);
    if (was == is) return;
    if (was.is_object() && is.is_object()) {
      add_differing(was, is, name + ".", fields);
    } else {
      fields.push_back(fmt::format("{} (was {}, now {})", name, text(was), text(is)));
    }
  };
  for (const auto& [key, value] : now.items()) compare(key);
  for (const auto& [key, value] : before.items()) {
    if (!now.contains(key)) compare(key);
  }
}

std::string differing_fields(const Json& before, const Json& now) {
  std::vector<std::string> fields;
  add_differing(before, now, "", fields);
  return join(fields, ", ");
}

/// What PROGRESS.json says, or nothing when the file is damaged: then the files are made again.
Json read_progress(const std::string& path) {
  try {
    Json progress = read_strict_json(path, kManifestJson);
    if (progress.is_object()) return progress;
  } catch (const CheckpointError&) {
  }
  return Json::object();
}

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message,
                         const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .path = path, .hint = hint});
}

/// Files without a JOB.json are only ours when a run was killed right before it was published
/// (regroup.json is there) or right after it began (temporary names).
void refuse_foreign(const std::string& partial) {
  if (path_exists(partial + "/" + kManifestName)) return;
  std::error_code error;  // another process may just have published the folder
  for (const auto& entry : std::filesystem::directory_iterator(partial, error)) {
    const std::string name = entry.path().filename().string();
    if (name == kLock || name.find(kStagingSuffix) != std::string::npos) continue;
    refuse("PARTIAL_EXISTS", partial,
           fmt::format("holds files that no run of regroup left there ({})", printable(name)),
           "move them away, or choose another OUT");
  }
}

/// What is left of folders whose files were removed.
void remove_empty_folders(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_directory() || entry.is_symlink()) continue;
    remove_empty_folders(entry.path().string());
    if (std::filesystem::is_empty(entry.path())) remove_tree(entry.path().string());
  }
}

}  // namespace

OutputFolder::OutputFolder(std::string out, const Json& job, OutputOptions options)
    : out_(without_last_slash(std::move(out))),
      options_(options),
      progress_(std::make_unique<Json>(Json::object())) {
  partial_ = out_ + ".partial";
  if (options_.resume == ResumeMode::kRequired && !path_exists(partial_ + "/" + kJob)) {
    refuse("PARTIAL_MISSING", partial_, "must hold an interrupted run, as `resume` required asks",
           "leave out `resume` to start anew");
  }
  // Before the lock, which is a file too.
  if (is_folder(partial_) && !path_exists(partial_ + "/" + kJob)) refuse_foreign(partial_);
  make_folder(partial_);
  lock_ = lock_folder(partial_);
  start_or_resume(job);
}

OutputFolder::~OutputFolder() = default;

void OutputFolder::start_or_resume(const Json& job) {
  const std::string job_path = partial_ + "/" + kJob;
  const bool present = path_exists(job_path);
  if (present && options_.resume != ResumeMode::kNever) {
    const Json before = read_strict_json(job_path, kManifestJson);
    if (before == job) {
      const std::string progress_path = partial_ + "/" + kProgress;
      if (path_exists(progress_path)) {
        *progress_ = read_progress(progress_path);
      }
      resumed_ = true;
      return;
    }
    if (!options_.overwrite) {
      refuse("CKPT_MISMATCH", partial_,
             fmt::format("holds an interrupted run with other settings: {}",
                         differing_fields(before, job)),
             "repeat the earlier command to finish it, or give `overwrite` or `resume` never to "
             "drop it");
    }
  }
  if (!present) refuse_foreign(partial_);
  // What is left is a stale attempt of ours. Its JOB.json goes last: killed in between, the rest is
  // still known to be ours.
  for (const auto& entry : std::filesystem::directory_iterator(partial_)) {
    const std::string name = entry.path().filename().string();
    if (name != kLock && name != kJob && name != kManifestName) remove_tree(entry.path().string());
  }
  remove_tree(partial_ + "/" + kManifestName);  // where JOB.json is gone, it marks the rest as ours
  write_file_atomically(job_path, job.dump(2) + "\n");
}

std::optional<Json> OutputFolder::finished(const std::string& name) {
  const auto it = progress_->find(name);
  if (it == progress_->end()) return std::nullopt;
  const std::string path = partial_ + "/" + name;
  const bool intact = it->is_object() && it->contains("sha256") && path_exists(path) &&
                      sha256_of_file(path) == (*it)["sha256"];
  if (intact) return *it;
  progress_->erase(name);
  return std::nullopt;
}

std::string OutputFolder::staging_path(const std::string& name) const {
  make_folders(partial_, name);
  return partial_ + "/" + name + kStagingSuffix;
}

void OutputFolder::commit(const std::string& name, const Json& record) {
  rename_path(staging_path(name), partial_ + "/" + name, /*replace=*/true);
  sync_folder(parent_folder(partial_ + "/" + name));
  (*progress_)[name] = record;
  write_file_atomically(partial_ + "/" + kProgress, progress_->dump() + "\n");
}

void OutputFolder::publish() {
  if (options_.overwrite) require_replaceable(out_);  // it may have changed since the start
  // Anything that is not a committed file does not belong to the result.
  for (const std::string& name : files_below(partial_)) {
    if (!progress_->contains(name)) remove_tree(partial_ + "/" + name);
  }
  remove_empty_folders(partial_);
  sync_folder(partial_);
  if (options_.overwrite && path_exists(out_)) {
    const std::string old = fmt::format("{}.old{}", out_, ::getpid());
    if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, out_.c_str(), RENAME_EXCHANGE) == 0) {
      rename_path(partial_, old, /*replace=*/false);
    } else {  // not offered; any other trouble meets these two as well
      rename_path(out_, old, /*replace=*/false);
      rename_path(partial_, out_, /*replace=*/false);
    }
    sync_folder(parent_folder(out_));
    remove_tree(old);
  } else {
    rename_path(partial_, out_, /*replace=*/false);
  }
  sync_folder(parent_folder(out_));
}

}  // namespace regroup
