#include "regroup/base/atomic_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/path.h"

namespace regroup {

AtomicFile::AtomicFile(std::string path)
    : path_(std::move(path)), temporary_(fmt::format("{}.tmp{}", path_, ::getpid())) {
  try {
    file_.emplace(temporary_);
  } catch (...) {
    ::unlink(temporary_.c_str());
    throw;
  }
}

AtomicFile::~AtomicFile() {
  if (file_) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view text) { file_->write(text); }

void AtomicFile::commit() {
  file_->sync_and_close();
  rename_path(temporary_, path_, /*replace=*/true);
  file_.reset();
  sync_folder(parent_folder(path_));
}

}  // namespace regroup
