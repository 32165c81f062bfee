#include "regroup/base/program_folder.h"

#include <unistd.h>

#include <array>

namespace regroup {

std::string program_file() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  return {path.data(), length > 0 ? static_cast<size_t>(length) : 0};
}

std::string program_folder() {
  const std::string whole = program_file();
  return whole.substr(0, whole.rfind('/') + 1);
}

}  // namespace regroup
