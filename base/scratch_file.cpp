#include "regroup/base/scratch_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "regroup/base/file_calls.h"

namespace regroup {

ScratchFile::ScratchFile(const std::string& folder, int64_t bytes) {
  fd_ = FileDescriptor(uninterrupted([&] {
    path_ = folder + "/regroup-scratch-XXXXXX";
    return ::mkostemp(path_.data(), O_CLOEXEC);
  }));
  if (fd_.get() < 0) throw_output_error(errno, "create a scratch file in", folder);
  ::unlink(path_.c_str());
  if (bytes > 0) reserve_space(fd_.get(), bytes, folder);
}

void ScratchFile::write(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put =
        uninterrupted([&] { return ::pwrite(fd_.get(), bytes.data(), bytes.size(), offset); });
    if (put < 0) throw_output_error(errno, "write", path_);
    offset += put;
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
}

void ScratchFile::read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got =
        uninterrupted([&] { return ::pread(fd_.get(), out.data(), out.size(), offset); });
    if (got <= 0) throw_output_error(got < 0 ? errno : EIO, "read back", path_);
    offset += got;
    out = out.subspan(static_cast<size_t>(got));
  }
}

}  // namespace regroup
