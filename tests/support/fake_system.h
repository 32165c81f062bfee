#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "support/temporary_folder.h"

namespace regroup::testing {

/// A root folder with the few files of /proc and /sys that say what this process may use.
class FakeSystem {
 public:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::string root() const { return folder_ / ""; }

 private:
  TemporaryFolder folder_;
};

}  // namespace regroup::testing
