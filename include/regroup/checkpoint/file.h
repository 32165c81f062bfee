#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace regroup {

/// Owns a file descriptor.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();
  int get() const { return fd_; }
  int release();

 private:
  int fd_;
};

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

/// The OutputError for `error_number` (an errno) while doing `action` to `path`.
[[noreturn]] void throw_output_error(int error_number, const std::string& action,
                                     const std::string& path);

void sync_folder(const std::string& path);
/// Publishes `from` as `to`; with `replace` false an existing `to` is refused.
void rename_path(const std::string& from, const std::string& to, bool replace);
/// Writes a whole small file so that it is either complete or absent: temporary name, fsync, rename.
void write_file_atomically(const std::string& path, std::string_view text);
void make_folder(const std::string& path);
/// Holds `folder` for this process until the descriptor is closed; the lock is the file `.lock` in it.
/// @throws ConfigError LOCKED when another process holds it
FileDescriptor lock_folder(const std::string& folder);
/// Removes a file or a tree. @throws OutputError
void remove_tree(const std::string& path);
bool path_exists(const std::string& path);  ///< also true for a dangling link
bool is_folder(const std::string& path);
/// True if `inner` is `outer` or lies inside it, links followed. Neither has to exist.
bool is_inside(const std::string& inner, const std::string& outer);
std::string parent_folder(const std::string& path);
/// "out/" is the folder "out"; its parent and its neighbour OUT.partial follow from that name.
std::string without_last_slash(std::string path);
/// Free bytes for a new file in (the nearest existing parent of) `path`.
int64_t free_bytes(const std::string& path);
/// @throws OutputError IO_NO_SPACE unless `bytes` + 1 % + 64 MiB fit
void require_free_space(const std::string& path, int64_t bytes);
/// The largest resident size this process has had, in bytes.
int64_t peak_rss_bytes();

}  // namespace regroup
