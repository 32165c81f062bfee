#include "harness_out.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "regroup/base/atomic_file.h"
#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/harness_name.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/tasks/harness_samples.h"

namespace regroup {
namespace {

constexpr size_t kLongestName = 255 - 12;  // bytes, without what a file's temporary name adds

double seconds_now() {
  using Seconds = std::chrono::duration<double>;
  return Seconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

[[noreturn]] void refuse_place(const char* code, const std::string& path,
                               const std::string& message, const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .path = path, .hint = hint});
}

/// That `folder` is there, or can be made in its parent, and takes new files.
void require_place(const std::string& folder) {
  if (path_exists(folder) && !is_folder(folder)) {
    refuse_place("OUTPUT_NOT_FOLDER", folder, "--harness-out must name a folder, found a file",
                 "name another folder");
  }
  const std::string parent = is_folder(folder) ? folder : parent_folder(folder);
  if (!is_folder(parent)) {
    refuse_place("OUTPUT_PARENT", folder,
                 fmt::format("the parent folder {} of --harness-out must exist", printable(parent)),
                 "create the parent folder first");
  }
  if (::faccessat(AT_FDCWD, parent.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return;
  if (!is_not_offered(errno)) throw_output_error(errno, "create files in", parent);
}

void require_name(const std::string& name, const std::string& of) {
  if (name.size() <= kLongestName) return;
  refuse_place("OUTPUT_NAME", {},
               fmt::format("a name of --harness-out must have at most {} bytes, found {} for {}",
                           kLongestName, name.size(), printable(of, 60)),
               "reach the model by a shorter path, or give the file of questions a shorter name");
}

void require_another(std::map<std::string, std::string>& names, const std::string& name,
                     const std::string& of) {
  const auto [known, is_new] = names.emplace(name, of);
  if (is_new) return;
  refuse_place("OUTPUT_NAME", {},
               fmt::format("everything in --harness-out must have a name of its own, found {} for "
                           "{} and {}",
                           printable(name, 60), printable(known->second, 60), printable(of, 60)),
               "evaluate them one after the other, into two folders");
}

}  // namespace

HarnessOut::HarnessOut(std::string folder, const std::vector<std::string>& models,
                       const std::vector<std::string>& inputs)
    : folder_(without_last_slash(std::move(folder))),
      started_(seconds_now()),
      date_(harness_date(started_)) {
  require_place(folder_);
  std::map<std::string, std::string> names;
  for (const std::string& model : models) {
    const std::string place = place_of(model);
    require_name(harness_file_name(model), model);
    require_another(names, harness_file_name(model), model);
    for (const std::string& input : inputs) {
      if (input.empty() || !is_folder(input) || !is_inside(place, input)) continue;
      refuse_place("OUTPUT_IS_INPUT", place,
                   fmt::format("must lie outside the input {}", printable(input)),
                   "choose another folder");
    }
    if (path_exists(place)) require_place(place);
  }
}

std::string HarnessOut::place_of(const std::string& model) const {
  return folder_ + "/" + harness_file_name(model);
}

std::string HarnessOut::samples_name(const std::string& row) const {
  return fmt::format("samples_{}_{}.jsonl", harness_file_name(row), date_);
}

void HarnessOut::check_tasks(const std::vector<const Task*>& tasks) const {
  std::map<std::string, std::string> names;
  for (const Task* task : tasks) {
    std::set<std::string> parts;
    for (const TaskQuestion& question : task->questions) parts.insert(question.part);
    for (const std::string& part : parts) {
      const std::string row = task_row_name(*task, part);
      require_name(samples_name(row), row);
      require_another(names, samples_name(row), row);
    }
  }
}

namespace {

/// The lines of a task, or of a part of it, as they are written.
struct SamplesFile {
  SamplesFile(std::string name, const std::string& path) : row(std::move(name)), lines(path) {}

  std::string row;
  AtomicFile lines;
  HarnessTaskHash hash = {};
};

/// Files that mean something together alone: they go unless all are written.
class FilesOfOneRun {
 public:
  FilesOfOneRun() = default;
  FilesOfOneRun(const FilesOfOneRun&) = delete;
  FilesOfOneRun& operator=(const FilesOfOneRun&) = delete;
  ~FilesOfOneRun() {
    for (const std::string& path : paths_) ::unlink(path.c_str());
  }
  /// @return `path`, which is about to be written
  const std::string& add(std::string path) { return paths_.emplace_back(std::move(path)); }
  void keep() { paths_.clear(); }

 private:
  std::vector<std::string> paths_;
};

}  // namespace

void HarnessOut::write(const Json& model, const std::vector<AnsweredTask>& tasks,
                       HarnessRun run) const {
  const std::string place = place_of(model.at("model_name"));
  make_folder(folder_);
  make_folder(place);
  FilesOfOneRun files;
  std::map<std::string, std::string> hashes;
  for (const auto& [task, answers] : tasks) {
    std::optional<SamplesFile> file;  // of one row at a time: the lines of a row come together
    const auto close = [&] {
      if (!file) return;
      file->lines.commit();
      hashes[file->row] = file->hash.hex();
    };
    visit_harness_samples(task, answers, [&](const std::string& row, const Json& line) {
      if (!file || file->row != row) {
        close();
        file.emplace(row, files.add(place + "/" + samples_name(row)));
      }
      file->lines.write(harness_json(line) + "\n");
      file->hash.add(line);
    });
    close();
  }
  run.started = started_;
  run.seconds = watch_.seconds();
  const Json results = harness_results(model, hashes, run);
  write_file_atomically(files.add(fmt::format("{}/results_{}.json", place, date_)),
                        harness_json(results, 2));
  files.keep();
}

}  // namespace regroup
