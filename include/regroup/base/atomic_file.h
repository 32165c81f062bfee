#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "regroup/base/output_file.h"

namespace regroup {

/// A file that is written piece by piece and is either complete or absent: a temporary name until commit().
class AtomicFile {
 public:
  /// @throws OutputError  IO_NO_SPACE, IO_READ_ONLY, IO_FILE_TOO_BIG, IO_WRITE_ERROR
  explicit AtomicFile(std::string path);
  /// Removes what was not committed.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view text);
  /// The file is on the disk under its name, in place of one that was there.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  std::optional<OutputFile> file_;  ///< none once committed
};

}  // namespace regroup
