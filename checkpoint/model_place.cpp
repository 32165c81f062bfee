// MODEL of a command that is no folder.
#include <fmt/format.h>
#include <sys/stat.h>

#include "hub_cache.h"
#include "regroup/base/error.h"
#include "regroup/base/file_kind.h"
#include "regroup/base/folder.h"
#include "regroup/base/folder_listing.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/model_folder.h"

namespace regroup {
namespace {

constexpr const char* kRule = "must be a folder with config.json and safetensors files";

bool is_dangling_link(const std::string& path) {
  struct stat status = {};
  return path_exists(path) && ::stat(path.c_str(), &status) != 0;
}

/// What to do where nothing stands at `path`.
std::string hint_for_missing(const std::string& path) {
  const std::string parent = parent_folder(path);
  if (is_folder(parent)) {
    const std::string plain = without_last_slash(path);
    const std::string near =
        nearest(plain.substr(plain.rfind('/') + 1), list_folder(parent).folders);
    if (near.empty()) return "check the spelling of the path";
    return fmt::format("check the spelling of the path: {} holds {}", printable(parent),
                       printable(near));
  }
  if (!looks_like_hub_name(path)) return "check the spelling of the path";
  const std::string cached = hub_cached(path);
  const std::string snapshots = cached.empty() ? "" : hub_snapshots_text(cached);
  if (!snapshots.empty()) {
    return fmt::format("nothing is downloaded, but the hub's cache has it: pass {}", snapshots);
  }
  const std::string name = printable(path);
  return fmt::format(
      "nothing is downloaded: if it is a model on the hub, run `hf download {} --local-dir {}` and "
      "pass the folder {}",
      name, name.substr(name.find('/') + 1), name.substr(name.find('/') + 1));
}

[[noreturn]] void refuse_file(const std::string& path) {
  const auto kind = kind_of_file(path);
  const bool known = kind && !kind->what.starts_with("a JSON");
  const std::string what = known ? std::string(kind->what) : std::string("a file");
  const bool folder_helps = !kind || !(kind->pickled || kind->other_format);
  ErrorInfo info{.code = "MODEL_NOT_FOLDER",
                 .message = fmt::format("{}, found {}", kRule, what),
                 .path = path,
                 .hint = "pass the folder that holds the file"};
  if (folder_helps) throw CheckpointError(info);
  info.code = kind->pickled ? "PICKLE_REFUSED" : "MODEL_FORMAT";
  info.hint = kind->hint;
  throw UnsupportedError(info);
}

}  // namespace

void require_model_folder(const std::string& path) {
  if (path.empty()) {
    throw CheckpointError({.code = "MODEL_MISSING",
                           .message = fmt::format("MODEL {}, found an empty name", kRule),
                           .path = path,
                           .hint = "name the folder"});
  }
  if (is_folder(path)) return;
  const bool link = is_dangling_link(path);
  if (path_exists(path) && !link) refuse_file(path);
  throw CheckpointError(
      {.code = "MODEL_MISSING",
       .message =
           fmt::format("{}, {}", kRule, link ? "found a link to nothing" : "but does not exist"),
       .path = path,
       .hint = link ? "mend the link" : hint_for_missing(path)});
}

std::string config_path_of(const std::string& model) {
  if (is_folder(model)) return model + "/config.json";
  if (path_exists(model)) {
    const auto kind = kind_of_file(model);
    if (kind && !kind->what.starts_with("a JSON")) refuse_file(model);
    return model;
  }
  throw CheckpointError({.code = "CFG_MISSING",
                         .message = model.empty()
                                        ? "MODEL must be a model folder or a config.json, found "
                                          "an empty name"
                                        : "must exist: a model folder or a config.json",
                         .path = model,
                         .hint = model.empty() ? "name it" : hint_for_missing(model)});
}

}  // namespace regroup
