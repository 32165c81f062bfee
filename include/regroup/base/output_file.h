#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "regroup/base/file_descriptor.h"

namespace regroup {

/// A new file, written from its start to its end. Not published: the caller renames it.
class OutputFile {
 public:
  /// @param expected_bytes  reserved on disk at once when known, so that a full disk shows before
  ///                        the work is done; 0: unknown
  /// @throws OutputError  IO_NO_SPACE, IO_READ_ONLY, IO_FILE_TOO_BIG, IO_WRITE_ERROR
  explicit OutputFile(std::string path, int64_t expected_bytes = 0);
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Waits until the bytes are on the disk, then closes.
  void sync_and_close();
  int64_t size() const { return size_; }

 private:
  void put(std::span<const std::byte> bytes);
  void put_block();
  void leave_direct();

  struct Free {
    void operator()(std::byte* block) const;
  };
  std::string path_;
  FileDescriptor fd_;
  int64_t size_ = 0;
  int64_t writeback_from_ = 0;
  // A large file goes to the disk past the page cache, in aligned blocks.
  std::unique_ptr<std::byte, Free> block_;  // null: through the page cache
  size_t in_block_ = 0;
};

/// Writes a whole small file so that it is either complete or absent: temporary name, fsync, rename.
void write_file_atomically(const std::string& path, std::string_view text);

}  // namespace regroup
