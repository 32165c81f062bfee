#include "regroup/base/disk_space.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <filesystem>

#include "regroup/base/error.h"
#include "regroup/base/human_number.h"

namespace regroup {
namespace fs = std::filesystem;

int64_t free_bytes(const std::string& path) {
  std::error_code error;
  fs::path at = fs::absolute(path, error);
  while (!fs::exists(at, error) && at != at.parent_path()) at = at.parent_path();
  struct statvfs status = {};
  // Unknown, or a file system that counts nothing: let the write itself tell.
  if (::statvfs(at.c_str(), &status) != 0 || status.f_blocks == 0) return INT64_MAX;
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

void require_free_space(const std::string& path, int64_t bytes) {
  const int64_t needed = bytes + bytes / 100 + (int64_t{64} << 20);
  const int64_t available = free_bytes(path);
  if (available >= needed) return;
  throw OutputError({.code = "IO_NO_SPACE",
                     .message = fmt::format("needs {} of free disk space, found {}",
                                            human_bytes(needed), human_bytes(available)),
                     .path = path,
                     .hint = "free some space on that disk, or write to another one"});
}

}  // namespace regroup
