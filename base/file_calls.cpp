#include "regroup/base/file_calls.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "regroup/base/error.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"

namespace regroup {
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
      hint = "raise the file size limit (ulimit -f), or use a smaller `max-shard-size`";
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
  if (uninterrupted([&] { return ::fallocate(fd, 0, 0, bytes); }) == 0) return;
  if (!is_not_offered(errno)) throw_output_error(errno, "reserve space for", path);
}

void sync_descriptor(int fd, const std::string& path) {
  if (uninterrupted([&] { return ::fsync(fd); }) != 0 && !is_not_offered(errno)) {
    throw_output_error(errno, "fsync", path);
  }
}

void rename_path(const std::string& from, const std::string& to, bool replace) {
  const int done = replace ? ::rename(from.c_str(), to.c_str()) : rename_to_new(from, to);
  if (done == 0) return;
  if (errno == EEXIST) {
    throw ConfigError({.code = "OUTPUT_EXISTS",
                       .message = "must not exist",
                       .path = to,
                       .hint = "choose another name, or give `overwrite`"});
  }
  throw_output_error(errno, fmt::format("rename {} to", printable(from)), to);
}

}  // namespace regroup
