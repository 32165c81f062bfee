#include "regroup/base/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "regroup/base/atomic_file.h"
#include "regroup/base/file_calls.h"

namespace regroup {
namespace {

constexpr int64_t kDirectBytes = 64 << 20;  // larger files bypass the page cache
constexpr size_t kBlockBytes = size_t{4} << 20;
constexpr size_t kAlignment = 4096;
constexpr int64_t kWritebackBytes = 32 << 20;

}  // namespace

OutputFile::OutputFile(std::string path, int64_t expected_bytes)
    : path_(std::move(path)), fd_(uninterrupted([this] {
        return ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
      })) {
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
    const ssize_t done =
        uninterrupted([&] { return ::write(fd_.get(), bytes.data(), bytes.size()); });
    if (done < 0) throw_output_error(errno, "write", path_);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
}

void OutputFile::put_block() {
  std::span<const std::byte> rest(block_.get(), in_block_);
  in_block_ = 0;
  while (!rest.empty()) {
    const ssize_t done =
        uninterrupted([&] { return ::write(fd_.get(), rest.data(), rest.size()); });
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
  if (too_long && uninterrupted([this] { return ::ftruncate(fd_.get(), size_); }) != 0) {
    throw_output_error(errno, "finish", path_);
  }
  sync_descriptor(fd_.get(), path_);
  if (::close(fd_.release()) != 0) throw_output_error(errno, "close", path_);
}

void write_file_atomically(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace regroup
