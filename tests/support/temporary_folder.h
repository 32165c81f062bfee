#pragma once

#include <string>
#include <string_view>

namespace regroup::testing {

/// A fresh folder below $TMPDIR, /dev/shm or /tmp, removed with everything in it at the end of the
/// scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  /// Writes a file of the folder and returns its path. `name` may hold folders that exist.
  std::string write(std::string_view name, std::string_view bytes) const;

 private:
  std::string path_;
};

std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view bytes);
/// Every file below `folder` ("sub/name" -> bytes) as one text, to compare whole trees.
std::string read_tree(const std::string& folder);

}  // namespace regroup::testing
