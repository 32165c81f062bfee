// Calls that a file system or a sandbox does not have: the work goes on without them. What is really wrong
// still ends it.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/base/file_descriptor.h"
#include "regroup/base/folder.h"
#include "regroup/base/folder_listing.h"
#include "regroup/base/notice.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/scratch_file.h"
#include "regroup/checkpoint/output_folder.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/text/token_file.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

class Quirk {
 public:
  Quirk(const std::string& call, int error_number) {
    ::setenv("REGROUP_QUIRKS", (call + "=" + std::to_string(error_number)).c_str(), 1);
  }
  ~Quirk() { ::unsetenv("REGROUP_QUIRKS"); }
};

/// Everything that a command does with an output: lock, write, publish; then a second time over it.
void write_folder(const std::string& out, bool overwrite) {
  check_output_path(out, {}, overwrite);
  OutputFolder folder(out, {{"job", 1}}, {.overwrite = overwrite, .resume = ResumeMode::kAuto});
  OutputFile file(folder.staging_path("a"), 5);
  file.write("bytes");
  file.sync_and_close();
  folder.commit("a", {{"sha256", sha256_of_text("bytes")}});
  const std::string manifest =
      R"({"format":"regroup-manifest/1","output":{"files":[{"path":"a"}]}})";
  OutputFile second(folder.staging_path("regroup.json"));
  second.write(manifest);
  second.sync_and_close();
  folder.commit("regroup.json", {{"sha256", sha256_of_text(manifest)}});
  folder.publish();
}

void write_everything(const TemporaryFolder& folder) {
  write_folder(folder / "out", false);
  EXPECT_EQ(read_file(folder / "out/a"), "bytes");
  write_folder(folder / "out", true);
  EXPECT_EQ(read_file(folder / "out/a"), "bytes");
  write_file_atomically(folder / "results.json", "{}");
  EXPECT_EQ(read_file(folder / "results.json"), "{}");
  check_output_file(folder / "results.json", "--out", {});
  TokenFileWriter tokens(folder / "tokens.bin", 500);
  tokens.add(std::vector<int32_t>{1, 2, 3});
  tokens.finish();
  EXPECT_EQ(TokenFile(folder / "tokens.bin").size(), 3);
  ScratchFile scratch(folder.path(), 100);
  scratch.write(0, std::as_bytes(std::span("xyz", 3)));
  EXPECT_THROW(write_folder(folder / "out", false), ConfigError)
      << "what is there is never replaced";
}

TEST(Quirks, WhatIsNotOfferedIsDoneWithout) {
  const std::pair<const char*, std::vector<int>> quirks[] = {
      {"flock", {ENOSYS, ENOLCK, EOPNOTSUPP, EINVAL, EPERM, EIO}},
      {"renameat2", {EINVAL, ENOSYS, EOPNOTSUPP, EPERM}},
      {"fsync_folder", {EINVAL, ENOSYS, EOPNOTSUPP, EPERM, EBADF}},
      {"fsync_file", {EINVAL, ENOSYS, EOPNOTSUPP}},
      {"fallocate", {EOPNOTSUPP, ENOSYS, EINVAL, EPERM}},
      {"ftruncate", {EOPNOTSUPP, ENOSYS, EPERM}},
      {"faccessat", {EPERM, ENOSYS}},
  };
  for (const auto& [call, errors] : quirks) {
    for (const int error_number : errors) {
      SCOPED_TRACE(std::string(call) + ": " + std::strerror(error_number));
      const TemporaryFolder folder;
      const Quirk quirk(call, error_number);
      EXPECT_NO_THROW(write_everything(folder));
    }
  }
}

TEST(Quirks, WhatIsWrongStillEndsTheWork) {
  const std::tuple<const char*, int, const char*> quirks[] = {
      {"fsync_folder", EIO, "IO_WRITE_ERROR"}, {"fsync_file", EIO, "IO_WRITE_ERROR"},
      {"fallocate", ENOSPC, "IO_NO_SPACE"},    {"fallocate", EDQUOT, "IO_NO_SPACE"},
      {"fallocate", EFBIG, "IO_FILE_TOO_BIG"}, {"renameat2", EIO, "IO_WRITE_ERROR"},
      {"renameat2", EACCES, "IO_READ_ONLY"},   {"faccessat", EACCES, "IO_READ_ONLY"}};
  for (const auto& [call, error_number, code] : quirks) {
    SCOPED_TRACE(std::string(call) + ": " + std::strerror(error_number));
    const TemporaryFolder folder;
    const Quirk quirk(call, error_number);
    expect_error<OutputError>(code, [&] { write_folder(folder / "out", false); });
    EXPECT_FALSE(path_exists(folder / "out"));
  }
}

TEST(Quirks, ALockThatIsNotOfferedIsANotice) {
  std::vector<std::string> notices;
  set_notice_handler([&](const std::string& text) { notices.push_back(text); });
  const TemporaryFolder folder;
  {
    const Quirk quirk("flock", ENOLCK);
    lock_folder(folder.path());
    lock_folder(folder.path());
    ASSERT_EQ(notices.size(), 1u) << "told once";
    EXPECT_TRUE(contains(notices[0], folder.path() + ": this file system cannot lock it"));
  }
  const FileDescriptor held = lock_folder(folder.path());
  expect_error<ConfigError>("LOCKED", [&] { lock_folder(folder.path()); });
  EXPECT_EQ(notices.size(), 1u);
  set_notice_handler(nullptr);
}

TEST(FileQuirks, AFolderThatCannotBeReadToItsEndIsNotListedInPart) {
  const TemporaryFolder folder;
  folder.write("a", "");
  const Quirk quirk("readdir", EIO);
  const ErrorInfo error =
      expect_error<CheckpointError>("IO_READ_ERROR", [&] { list_folder(folder.path()); });
  EXPECT_EQ(error.path, folder.path());
}

}  // namespace
}  // namespace regroup::testing
