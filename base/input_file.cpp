#include "regroup/base/input_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"

namespace regroup {
namespace {

// Without O_NONBLOCK opening a FIFO would wait for a writer for ever.
constexpr int kReadFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

const char* read_hint(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return "check the spelling of the path";
    case EACCES:
    case EPERM:
      return "give this user the right to read it";
    case ELOOP:
      return "replace the link, which leads to itself";
    default:
      return "check the disk, or fetch the file again";
  }
}

[[noreturn]] void throw_read_error(int error_number, const std::string& path) {
  throw CheckpointError({.code = error_number == ELOOP ? "IO_ELOOP" : "IO_READ_ERROR",
                         .message = fmt::format("cannot be read: {}", std::strerror(error_number)),
                         .path = path,
                         .hint = read_hint(error_number)});
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

InputFile::InputFile(std::string path)
    : path_(std::move(path)),
      fd_(uninterrupted([this] { return ::open(path_.c_str(), kReadFlags); })) {
  check_opened();
}

InputFile::InputFile(int dir_fd, const std::string& name, std::string path)
    : path_(std::move(path)),
      fd_(uninterrupted([&] { return ::openat(dir_fd, name.c_str(), kReadFlags); })) {
  check_opened();
}

void InputFile::check_opened() {
  if (fd_.get() < 0 || ::fstat(fd_.get(), &stat_) != 0) throw_read_error(errno, path_);
  if (!S_ISREG(stat_.st_mode)) {
    throw CheckpointError(
        {.code = "SRC_NOT_REGULAR",
         .message = S_ISDIR(stat_.st_mode)
                        ? "must be a file, found a folder"
                        : "must be a regular file, found a device, pipe or socket",
         .path = path_,
         .hint = "name a file"});
  }
}

void InputFile::read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got =
        uninterrupted([&] { return ::pread(fd_.get(), out.data(), out.size(), offset); });
    if (got < 0) throw_read_error(errno, path_);
    if (got == 0) {
      throw CheckpointError(
          {.code = "SRC_CHANGED",
           .message = fmt::format("must not change while it is read, ended at byte {} of {}",
                                  offset, stat_.st_size),
           .path = path_,
           .hint = "run the command again when nothing writes to the folder any more"});
    }
    offset += got;
    out = out.subspan(static_cast<size_t>(got));
  }
}

std::string InputFile::read_all() const {
  std::string text(static_cast<size_t>(size()), '\0');
  read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void InputFile::will_need(int64_t offset, int64_t bytes) const {
  ::posix_fadvise(fd_.get(), offset, bytes, POSIX_FADV_WILLNEED);
}

void InputFile::require_unchanged() const {
  struct stat now = {};
  if (::fstat(fd_.get(), &now) != 0) throw_read_error(errno, path_);
  struct stat named = {};
  const bool replaced = ::stat(path_.c_str(), &named) != 0 || !same_file(named, stat_);
  if (!same_file(now, stat_) || replaced) {
    throw CheckpointError(
        {.code = "SRC_CHANGED",
         .message = "must not change while it is read, but its size, time or identity did",
         .path = path_,
         .hint = "run the command again when nothing writes to the folder any more"});
  }
}

}  // namespace regroup
