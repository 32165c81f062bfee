#include "hub_cache.h"

#include <algorithm>
#include <cstdlib>

#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/folder_listing.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

constexpr std::string_view kPrefix = "models--";

std::string last_component(const std::string& path) {
  const std::string plain = without_last_slash(path);
  return plain.substr(plain.rfind('/') + 1);
}

/// The commit that refs/main names; "" where it cannot be read.
std::string main_commit(const std::string& folder) {
  try {
    const InputFile file(folder + "/refs/main");
    if (file.size() > 200) return {};
    std::string commit = file.read_all();
    commit.erase(commit.find_last_not_of(" \r\n") + 1);
    return commit;
  } catch (const CheckpointError&) {
    return {};
  }
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// As huggingface_hub finds it.
std::string cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const std::string path = environment(name); !path.empty()) return path;
  }
  if (const std::string home = environment("HF_HOME"); !home.empty()) return home + "/hub";
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) {
    return cache + "/huggingface/hub";
  }
  return environment("HOME") + "/.cache/huggingface/hub";
}

}  // namespace

bool is_hub_cache_of_a_model(const std::string& folder) {
  return last_component(folder).starts_with(kPrefix) && is_folder(folder + "/snapshots");
}

std::string hub_name(const std::string& folder_name) {
  std::string name = folder_name.substr(kPrefix.size());
  if (const size_t at = name.find("--"); at != std::string::npos) name.replace(at, 2, "/");
  return name;
}

std::vector<std::string> hub_snapshots(const std::string& folder) {
  const std::string root = without_last_slash(folder);
  const std::string current = main_commit(root);
  std::vector<std::string> paths;
  if (!is_folder(root + "/snapshots")) return paths;
  for (const std::string& commit : list_folder(root + "/snapshots").folders) {
    const std::string path = root + "/snapshots/" + commit;
    if (!path_exists(path + "/config.json")) continue;
    paths.insert(commit == current ? paths.begin() : paths.end(), path);
  }
  return paths;
}

std::string hub_snapshots_text(const std::string& folder) {
  constexpr size_t kShown = 3;
  std::vector<std::string> paths = hub_snapshots(folder);
  if (paths.size() > kShown) paths.resize(kShown);
  for (std::string& path : paths) path = printable(path, 1000);
  return join(paths, " or ");
}

bool looks_like_hub_name(const std::string& path) {
  const size_t slash = path.find('/');
  const bool two = slash != std::string::npos && slash > 0 && slash + 1 < path.size() &&
                   path.find('/', slash + 1) == std::string::npos;
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return c == '/' || c == '-' || c == '_' || c == '.' || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
  return two && plain && path.front() != '.' && path[slash + 1] != '.';
}

std::string hub_cached(const std::string& name) {
  std::string folder = name;
  folder.replace(folder.find('/'), 1, "--");
  const std::string path = cache_folder() + "/" + std::string(kPrefix) + folder;
  return is_hub_cache_of_a_model(path) ? path : "";
}

}  // namespace regroup
