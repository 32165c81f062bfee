#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace regroup::testing {

/// A file in memory under a name of its own, with the bytes of one input after another.
class MemoryFile {
 public:
  explicit MemoryFile(const char* name) : fd_(::memfd_create(name, MFD_CLOEXEC)) {}
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  void hold(const uint8_t* data, size_t size) const {
    const bool held = fd_ >= 0 && ::ftruncate(fd_, 0) == 0 &&
                      ::pwrite(fd_, data, size, 0) == static_cast<ssize_t>(size);
    if (!held) throw std::logic_error("cannot write a file in memory");
  }

 private:
  int fd_;
};

}  // namespace regroup::testing
