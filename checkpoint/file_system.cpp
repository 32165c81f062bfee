// The operations on names: publish, sync, remove, compare, measure. All writing of regroup's outputs
// goes through here and OutputFile.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/file_calls.h"
#include "regroup/checkpoint/notice.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace fs = std::filesystem;

void throw_output_error(int error_number, const std::string& action, const std::string& path) {
  std::string code = "IO_WRITE_ERROR";
  std::string hint;
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      code = "IO_NO_SPACE";
      hint = "free some space on that disk and run the same command again";
      break;
    case EFBIG:
      code = "IO_FILE_TOO_BIG";
      hint = "raise the file size limit (ulimit -f), or use a smaller --max-shard-size";
      break;
    case EROFS:
    case EACCES:
    case EPERM:
      code = "IO_READ_ONLY";
      hint = "choose a folder that this user may write to";
      break;
    default:
      break;
  }
  throw OutputError(
      {.code = code,
       .message = fmt::format("could not {} it: {}", action, std::strerror(error_number)),
       .path = path,
       .tensor = {},
       .hint = hint});
}

bool is_not_offered(int error_number) {
  switch (error_number) {
    case EINVAL:
    case ENOSYS:
    case EOPNOTSUPP:
    case ENOTTY:
    case EPERM:  // what a sandbox says to a call that it does not know
      return true;
    default:
      return false;
  }
}

void reserve_space(int fd, int64_t bytes, const std::string& path) {
  // posix_fallocate would write a block at a time where the file system does not offer this.
  while (::fallocate(fd, 0, 0, bytes) != 0) {
    if (errno == EINTR) continue;
    if (is_not_offered(errno)) return;
    throw_output_error(errno, "reserve space for", path);
  }
}

void sync_descriptor(int fd, const std::string& path) {
  if (::fsync(fd) != 0 && !is_not_offered(errno)) throw_output_error(errno, "fsync", path);
}

void sync_folder(const std::string& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 && errno == EACCES) return;  // a folder that may be written to, but not listed
  if (fd.get() < 0) throw_output_error(errno, "open", path);
  // EBADF: network file systems whose folders cannot be synced.
  if (::fsync(fd.get()) != 0 && errno != EBADF && !is_not_offered(errno)) {
    throw_output_error(errno, "fsync", path);
  }
}

namespace {

/// rename(2) without replacing; where the file system has no such call, a look before it.
int rename_to_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (!is_not_offered(errno)) return -1;
  if (!path_exists(to)) return ::rename(from.c_str(), to.c_str());
  errno = EEXIST;
  return -1;
}

}  // namespace

void rename_path(const std::string& from, const std::string& to, bool replace) {
  const int done = replace ? ::rename(from.c_str(), to.c_str()) : rename_to_new(from, to);
  if (done == 0) return;
  if (errno == EEXIST) {
    throw ConfigError({.code = "OUTPUT_EXISTS",
                       .message = "must not exist",
                       .path = to,
                       .tensor = {},
                       .hint = "choose another name, or give --overwrite"});
  }
  throw_output_error(errno, fmt::format("rename {} to", printable(from)), to);
}

void write_file_atomically(const std::string& path, std::string_view text) {
  const std::string temporary = fmt::format("{}.tmp{}", path, ::getpid());
  try {
    OutputFile file(temporary);
    file.write(text);
    file.sync_and_close();
    rename_path(temporary, path, /*replace=*/true);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(parent_folder(path));
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) == 0 || (errno == EEXIST && is_folder(path))) return;
  const int error_number = errno;
  if (error_number == ENOENT) {
    throw ConfigError(
        {.code = "OUTPUT_PARENT",
         .message = fmt::format("its parent folder {} must exist", printable(parent_folder(path))),
         .path = path,
         .tensor = {},
         .hint = "create the parent folder first"});
  }
  throw_output_error(error_number, "create", path);
}

FileDescriptor lock_folder(const std::string& folder) {
  const std::string path = folder + "/.lock";
  FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.get() < 0) throw_output_error(errno, "create", path);
  int locked = 0;
  do {
    locked = ::flock(lock.get(), LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0 && errno == EWOULDBLOCK) {
    throw ConfigError({.code = "LOCKED",
                       .message = "is being written by another process",
                       .path = folder,
                       .tensor = {},
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
  fs::remove_all(path, error);
  if (error) throw_output_error(error.value(), "remove", path);
}

bool path_exists(const std::string& path) {
  struct stat status = {};
  return ::lstat(path.c_str(), &status) == 0;
}

bool is_folder(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
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
                     .tensor = {},
                     .hint = "free some space on that disk, or write to another one"});
}

int64_t peak_rss_bytes() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace regroup
