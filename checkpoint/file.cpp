#include "regroup/checkpoint/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file_calls.h"

namespace regroup {
namespace {

// Without O_NONBLOCK opening a FIFO would wait for a writer for ever.
constexpr int kReadFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

constexpr int64_t kDirectBytes = 64 << 20;  // larger files bypass the page cache
constexpr size_t kBlockBytes = size_t{4} << 20;
constexpr size_t kAlignment = 4096;
constexpr int64_t kWritebackBytes = 32 << 20;

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
                         .tensor = {},
                         .hint = read_hint(error_number)});
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

InputFile::InputFile(std::string path)
    : path_(std::move(path)), fd_(::open(path_.c_str(), kReadFlags)) {
  check_opened();
}

InputFile::InputFile(int dir_fd, const std::string& name, std::string path)
    : path_(std::move(path)), fd_(::openat(dir_fd, name.c_str(), kReadFlags)) {
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
         .tensor = {},
         .hint = "name a file"});
  }
}

void InputFile::read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_.get(), out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_read_error(errno, path_);
    if (got == 0) {
      throw CheckpointError(
          {.code = "SRC_CHANGED",
           .message = fmt::format("must not change while it is read, ended at byte {} of {}",
                                  offset, stat_.st_size),
           .path = path_,
           .tensor = {},
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
         .tensor = {},
         .hint = "run the command again when nothing writes to the folder any more"});
  }
}

OutputFile::OutputFile(std::string path, int64_t expected_bytes)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  if (fd_.get() < 0) throw_output_error(errno, "create", path_);
  if (expected_bytes > 0) reserve_space(fd_.get(), expected_bytes, path_);
  // Copying gigabytes into the page cache costs as much as hashing them, and drives out what others
  // have there. Not every file system offers the way past it.
  if (expected_bytes < kDirectBytes) return;
  block_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, kBlockBytes)));
  if (block_ && ::fcntl(fd_.get(), F_SETFL, O_DIRECT) != 0) block_.reset();
}

void OutputFile::Free::operator()(std::byte* block) const { std::free(block); }

void OutputFile::write(std::span<const std::byte> bytes) {
  size_ += static_cast<int64_t>(bytes.size());
  while (block_ && !bytes.empty()) {
    const size_t n = std::min(bytes.size(), kBlockBytes - in_block_);
    std::memcpy(block_.get() + in_block_, bytes.data(), n);
    in_block_ += n;
    bytes = bytes.subspan(n);
    if (in_block_ == kBlockBytes) put_block();
  }
  put(bytes);
  // Let the disk work while we compute, so that the fsync at the end finds little left to do.
  if (!block_ && size_ - writeback_from_ >= kWritebackBytes) {
    ::sync_file_range(fd_.get(), writeback_from_, size_ - writeback_from_, SYNC_FILE_RANGE_WRITE);
    writeback_from_ = size_;
  }
}

void OutputFile::put(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd_.get(), bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw_output_error(errno, "write", path_);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
}

void OutputFile::put_block() {
  std::span<const std::byte> rest(block_.get(), in_block_);
  in_block_ = 0;
  while (!rest.empty()) {
    const ssize_t done = ::write(fd_.get(), rest.data(), rest.size());
    if (done < 0 && errno == EINTR) continue;
    const bool aligned = done >= 0 && static_cast<size_t>(done) % kAlignment == 0;
    if (done < 0 && !is_not_offered(errno)) throw_output_error(errno, "write", path_);
    if (done > 0) rest = rest.subspan(static_cast<size_t>(done));
    if (aligned) continue;
    // The file system wants another alignment, or stopped between two: go on through the cache.
    leave_direct();
    put(rest);
    block_.reset();
    return;
  }
}

void OutputFile::leave_direct() {
  if (::fcntl(fd_.get(), F_SETFL, 0) != 0) throw_output_error(errno, "write", path_);
}

void OutputFile::sync_and_close() {
  if (block_) {
    leave_direct();  // the last block may end anywhere
    put({block_.get(), in_block_});
  }
  // More was reserved than written. Not every file system can cut a file, so only where it must be.
  struct stat status = {};
  const bool too_long = ::fstat(fd_.get(), &status) != 0 || status.st_size != size_;
  if (too_long && ::ftruncate(fd_.get(), size_) != 0) throw_output_error(errno, "finish", path_);
  sync_descriptor(fd_.get(), path_);
  if (::close(fd_.release()) != 0) throw_output_error(errno, "close", path_);
}

}  // namespace regroup
