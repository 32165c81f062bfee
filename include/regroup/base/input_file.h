#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "regroup/base/file_descriptor.h"

namespace regroup {

/// A regular file read with pread: truncating it while it is read gives an error, not SIGBUS.
class InputFile {
 public:
  /// @throws CheckpointError  IO_READ_ERROR, SRC_NOT_REGULAR (folder, FIFO, device), IO_ELOOP
  explicit InputFile(std::string path);
  /// Opens `name` inside the folder `dir_fd`; `path` is used in messages only.
  InputFile(int dir_fd, const std::string& name, std::string path);

  int64_t size() const { return stat_.st_size; }
  const std::string& path() const { return path_; }
  const struct stat& status() const { return stat_; }

  /// Fills `out` from `offset`. @throws CheckpointError SRC_CHANGED when the file has become shorter,
  /// IO_READ_ERROR on a failing disk
  void read(int64_t offset, std::span<std::byte> out) const;
  std::string read_all() const;
  /// Starts reading ahead; never fails.
  void will_need(int64_t offset, int64_t bytes) const;
  /// @throws CheckpointError  SRC_CHANGED when size, times or inode differ from the opening
  void require_unchanged() const;

 private:
  void check_opened();

  std::string path_;
  FileDescriptor fd_;
  struct stat stat_ = {};
};

}  // namespace regroup
