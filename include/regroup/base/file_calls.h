#pragma once

#include <cerrno>
#include <cstdint>
#include <string>

namespace regroup {

/// The result of a system call, made again as long as a signal interrupts it.
template <typename Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// The OutputError for `error_number` (an errno) while doing `action` to `path`.
[[noreturn]] void throw_output_error(int error_number, const std::string& action,
                                     const std::string& path);

/// True for the errors of a call that the file system, or the sandbox around the process, does not have:
/// what the call was for is done another way, or left out.
bool is_not_offered(int error_number);

/// Reserves `bytes` on disk at once, so that a full disk shows before the work is done.
/// @throws OutputError IO_NO_SPACE and others; never where reserving is not offered
void reserve_space(int fd, int64_t bytes, const std::string& path);

/// Waits until the bytes of the file `fd` are on the disk, where the file system offers that.
/// @throws OutputError
void sync_descriptor(int fd, const std::string& path);

/// Publishes `from` as `to`; with `replace` false an existing `to` is refused.
void rename_path(const std::string& from, const std::string& to, bool replace);

}  // namespace regroup
