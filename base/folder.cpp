#include "regroup/base/folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/notice.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"

namespace regroup {

bool is_folder(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) == 0 || (errno == EEXIST && is_folder(path))) return;
  const int error_number = errno;
  if (error_number == ENOENT && !is_folder(parent_folder(path))) {
    throw ConfigError(
        {.code = "OUTPUT_PARENT",
         .message = fmt::format("its parent folder {} must exist", printable(parent_folder(path))),
         .path = path,
         .hint = "create the parent folder first"});
  }
  throw_output_error(error_number, "create", path);
}

void sync_folder(const std::string& path) {
  const FileDescriptor fd(
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (fd.get() < 0 && errno == EACCES) return;  // a folder that may be written to, but not listed
  if (fd.get() < 0) throw_output_error(errno, "open", path);
  // EBADF: network file systems whose folders cannot be synced.
  if (uninterrupted([&] { return ::fsync(fd.get()); }) != 0 && errno != EBADF &&
      !is_not_offered(errno)) {
    throw_output_error(errno, "fsync", path);
  }
}

FileDescriptor lock_folder(const std::string& folder) {
  const std::string path = folder + "/.lock";
  FileDescriptor lock(
      uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); }));
  if (lock.get() < 0) throw_output_error(errno, "create", path);
  const int locked = uninterrupted([&] { return ::flock(lock.get(), LOCK_EX | LOCK_NB); });
  if (locked != 0 && errno == EWOULDBLOCK) {
    throw ConfigError({.code = "LOCKED",
                       .message = "is being written by another process",
                       .path = folder,
                       .hint = "wait for the other process, or choose another OUT"});
  }
  if (locked != 0) {
    notice(
        fmt::format("{}: this file system cannot lock it ({}): nothing keeps a second regroup "
                    "from writing there; start one at a time",
                    printable(folder), std::strerror(errno)));
  }
  return lock;
}

void remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) throw_output_error(error.value(), "remove", path);
}

}  // namespace regroup
