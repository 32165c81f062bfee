#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "regroup/base/file_descriptor.h"

namespace regroup {

/// Space on disk that goes with the process: a file without a name.
class ScratchFile {
 public:
  /// Reserves `bytes` in `folder` at once, so that a full disk shows before the work is done.
  /// @throws OutputError IO_NO_SPACE and others
  ScratchFile(const std::string& folder, int64_t bytes);
  void write(int64_t offset, std::span<const std::byte> bytes);
  void read(int64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  FileDescriptor fd_;
};

}  // namespace regroup
