#include "regroup/checkpoint/output_path.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/manifest_name.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/companions.h"
#include "regroup/checkpoint/manifest.h"

namespace regroup {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message,
                         const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .path = path, .hint = hint});
}

/// @param flag  whose value `path` is; "" for OUT
void require_parent(const std::string& path, const std::string& flag) {
  const std::string parent = parent_folder(path);
  if (is_folder(parent)) return;
  refuse("OUTPUT_PARENT", path,
         flag.empty()
             ? fmt::format("its parent folder {} must exist", printable(parent))
             : fmt::format("the parent folder {} of {} must exist", printable(parent), flag),
         "create the parent folder first");
}

/// Files are written under a temporary name beside them, folders as OUT.partial: the parent is what counts.
void require_writable_parent(const std::string& path) {
  if (::faccessat(AT_FDCWD, parent_folder(path).c_str(), W_OK | X_OK, AT_EACCESS) == 0) return;
  if (is_not_offered(errno)) return;  // the write itself will tell
  throw_output_error(errno, "create", path);
}

/// The files that the folder's manifest names, itself among them; nothing without a manifest of ours.
std::optional<std::set<std::string>> files_of_manifest(const std::string& folder) {
  const std::string path = folder + "/" + kManifestName;
  if (!path_exists(path)) return std::nullopt;
  try {
    const Json manifest = read_strict_json(path, kManifestJson);
    if (!manifest.at("format").get<std::string>().starts_with("regroup-manifest/")) {
      return std::nullopt;
    }
    std::set<std::string> files = {kManifestName};
    for (const Json& file : manifest.at("output").at("files")) {
      files.insert(file.at("path").get<std::string>());
    }
    return files;
  } catch (const CheckpointError&) {
  } catch (const Json::exception&) {
  }
  return std::nullopt;  // damaged: whose it was cannot be told
}

void add_names(const std::string& folder, const std::string& prefix,
               const std::set<std::string>& known, std::vector<std::string>& names) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = prefix + entry.path().filename().string();
    const auto inside = known.lower_bound(name + "/");
    const bool ours = inside != known.end() && inside->starts_with(name + "/");
    if (ours && entry.is_directory() && !entry.is_symlink()) {
      add_names(entry.path().string(), name + "/", known, names);
    } else if (!known.contains(name)) {
      names.push_back(printable(name, 60));
    }
  }
}

/// What the folder holds but for `known`, sorted.
std::vector<std::string> names_in(const std::string& folder, const std::set<std::string>& known) {
  std::vector<std::string> names;
  add_names(folder, "", known, names);
  std::sort(names.begin(), names.end());
  return names;
}

/// "a.txt, b.txt ...": enough to see what it is.
std::string first(std::vector<std::string> names) {
  const bool more = names.size() > 3;
  if (more) names.resize(3);
  return join(names, ", ") + (more ? " ..." : "");
}

bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  return fs::equivalent(a, b, error);
}

/// True if a command that is given `input` reads the file `path`, whatever names and links lead to it.
bool reads(const std::string& input, const std::string& path) {
  if (!is_folder(input)) return is_same_file(input, path);
  const std::vector<std::string> companions = find_companions(input).files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(input, error)) {
    const std::string name = entry.path().filename().string();
    const bool counts = name == "config.json" || name == kManifestName ||
                        name.find(".safetensors") != std::string::npos ||
                        std::find(companions.begin(), companions.end(), name) != companions.end();
    if (counts && is_same_file(entry.path().string(), path)) return true;
  }
  return false;
}

void require_regular(const std::string& path, const std::string& flag) {
  struct stat status = {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (!path.ends_with('/') && (!exists || S_ISREG(status.st_mode))) return;
  const bool folder = path.ends_with('/') || S_ISDIR(status.st_mode);
  refuse("OUTPUT_NOT_FILE", path,
         fmt::format("{} must name a file, found a {}", flag,
                     folder ? "folder" : "device, pipe or socket"),
         folder ? "name a file in that folder" : "name a file");
}

}  // namespace

void check_output_place(const std::string& given, const std::vector<std::string>& inputs) {
  const std::string out = without_last_slash(given);
  if (out.empty()) refuse("OUTPUT_EMPTY", {}, "OUT must not be empty", "name the folder to create");
  for (const std::string& input : inputs) {
    if (input.empty() || (!is_inside(out, input) && !is_inside(input, out))) continue;
    refuse("OUTPUT_IS_INPUT", out, fmt::format("must lie outside the input {}", printable(input)),
           "choose a folder beside the model and the other inputs");
  }
  require_parent(out, "");
}

void check_output_path(const std::string& out, const std::vector<std::string>& inputs,
                       bool overwrite) {
  check_output_place(out, inputs);
  // What is made grows in OUT.partial, and stale files there are removed.
  check_output_place(without_last_slash(out) + ".partial", inputs);
  require_writable_parent(without_last_slash(out));
  if (overwrite) return require_replaceable(out);
  if (!path_exists(without_last_slash(out))) return;
  refuse("OUTPUT_EXISTS", without_last_slash(out), "must not exist",
         "choose another name, or give `overwrite`");
}

void require_replaceable(const std::string& given) {
  const std::string out = without_last_slash(given);
  if (!path_exists(out)) return;
  std::string found = "something that is no folder";
  if (is_folder(out)) {
    std::error_code error;
    if (fs::is_empty(out, error) && !error) return;
    const auto files = files_of_manifest(out);
    const std::vector<std::string> others = names_in(out, files.value_or(std::set<std::string>()));
    if (files && others.empty()) return;
    found =
        files ? fmt::format("one that holds more ({})", first(others))
              : fmt::format("a folder without its {} (it holds {})", kManifestName, first(others));
  }
  refuse("OUTPUT_FOREIGN", out,
         fmt::format("`overwrite` replaces only a model folder that regroup made, found {}", found),
         "choose another OUT, or move the folder away by hand");
}

void check_output_file(const std::string& path, const std::string& flag,
                       const std::vector<std::string>& inputs) {
  if (path.empty()) {
    refuse("OUTPUT_EMPTY", {}, fmt::format("{} must not be empty", flag), "name the file to write");
  }
  require_regular(path, flag);
  require_parent(path, flag);
  for (const std::string& input : inputs) {
    if (input.empty() || !reads(input, path)) continue;
    refuse("OUTPUT_IS_INPUT", path,
           fmt::format("{} must not be a file that is read, found the input {}", flag,
                       printable(input)),
           "choose another name");
  }
  require_writable_parent(path);
}

}  // namespace regroup
