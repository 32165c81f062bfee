#include "regroup/base/path.h"

#include <sys/stat.h>

#include <filesystem>

namespace regroup {
namespace fs = std::filesystem;

bool path_exists(const std::string& path) {
  struct stat status = {};
  return ::lstat(path.c_str(), &status) == 0;
}

bool is_inside(const std::string& inner, const std::string& outer) {
  const auto resolve = [](const std::string& path) {
    std::error_code error;
    const fs::path resolved = fs::weakly_canonical(path, error);
    return resolved.has_filename() ? resolved : resolved.parent_path();  // "a/" is "a"
  };
  const fs::path in = resolve(inner);
  const fs::path out = resolve(outer);
  for (fs::path at = in; !at.empty(); at = at.parent_path()) {
    if (at == out) return true;
    if (at == at.parent_path()) break;
  }
  return false;
}

std::string parent_folder(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

std::string without_last_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace regroup
