// Reading what may change meanwhile, writing on a disk that may be full.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "regroup/base/atomic_file.h"
#include "regroup/base/disk_space.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/host_memory.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

std::string read_part(const InputFile& file, int64_t offset, size_t bytes) {
  std::string text(bytes, '?');
  file.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

TEST(InputFile, ReadsAnyPart) {
  const TemporaryFolder folder;
  const InputFile file(folder.write("x", "0123456789"));
  EXPECT_EQ(file.size(), 10);
  EXPECT_EQ(file.read_all(), "0123456789");
  EXPECT_EQ(read_part(file, 3, 4), "3456");
  EXPECT_EQ(read_part(file, 10, 0), "");
  file.will_need(0, 10);
}

TEST(InputFile, OpensRegularFilesOnly) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  fs::create_symlink("loop", folder / "loop");
  ::alarm(20);  // a FIFO opened the wrong way waits for a writer
  EXPECT_EQ(expect_error("SRC_NOT_REGULAR", [&] { InputFile(folder / "fifo"); }).message,
            folder / "fifo: must be a regular file, found a device, pipe or socket");
  EXPECT_EQ(expect_error("SRC_NOT_REGULAR", [&] { InputFile{folder.path()}; }).message,
            folder.path() + ": must be a file, found a folder");
  expect_error("SRC_NOT_REGULAR", [] { InputFile("/dev/zero"); });
  ::alarm(0);
  expect_error("IO_ELOOP", [&] { InputFile(folder / "loop"); });
  EXPECT_EQ(expect_error("IO_READ_ERROR", [&] { InputFile(folder / "absent"); }).message,
            folder / "absent: cannot be read: No such file or directory");
}

TEST(InputFile, SeesEveryKindOfChange) {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  const struct {
    const char* why;
    std::function<void()> change;
  } cases[] = {
      {"truncated", [&] { fs::resize_file(path, 3); }},
      {"grown", [&] { fs::resize_file(path, 30); }},
      {"replaced", [&] { fs::rename(folder.write("y", "0123456789"), path); }},
      {"removed", [&] { fs::remove(path); }},
      {"other bytes, old time",
       [&] {
         const auto time = fs::last_write_time(path);
         write_file(path, "9876543210");
         fs::last_write_time(path, time);
       }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.why);
    folder.write("x", "0123456789");
    const InputFile file(path);
    EXPECT_NO_THROW(file.require_unchanged());
    ::usleep(20'000);  // file times have the resolution of the kernel's tick
    c.change();
    expect_error("SRC_CHANGED", [&] { file.require_unchanged(); });
  }
}

TEST(InputFile, ReadingPastTheEndIsAnError) {
  const TemporaryFolder folder;
  const InputFile file(folder.write("x", "0123456789"));
  fs::resize_file(folder / "x", 4);
  EXPECT_TRUE(contains(expect_error("SRC_CHANGED", [&] { file.read_all(); }).message,
                       "ended at byte 4 of 10"));
}

TEST(OutputFile, WritesFromStartToEnd) {
  const TemporaryFolder folder;
  folder.write("x", "something longer that was there before");
  OutputFile file(folder / "x", /*expected_bytes=*/1000);  // more than will come
  file.write("abc");
  file.write(std::string_view());
  file.write("de");
  EXPECT_EQ(file.size(), 5);
  file.sync_and_close();
  EXPECT_EQ(read_file(folder / "x"), "abcde");
}

// Files of 64 MiB and more leave in aligned blocks of 4 MiB; the last one ends anywhere.
TEST(OutputFile, LargeFilesKeepEveryByte) {
  const TemporaryFolder folder;
  OutputFile file(folder / "x", /*expected_bytes=*/int64_t{64} << 20);
  std::string expected;
  for (size_t piece : {1, 4095, 4096, 3'000'001, 7'000'003, 4'194'304, 17}) {
    std::string bytes(piece, '\0');
    for (size_t i = 0; i < piece; ++i) bytes[i] = static_cast<char>((i * 7919 + piece) >> 3);
    file.write(bytes);
    expected += bytes;
  }
  EXPECT_EQ(file.size(), static_cast<int64_t>(expected.size()));
  file.sync_and_close();
  EXPECT_TRUE(read_file(folder / "x") == expected);
}

TEST(OutputFile, AFullDiskIsSaid) {
  OutputFile file("/dev/full");
  const ErrorInfo error = expect_error<OutputError>("IO_NO_SPACE", [&] { file.write("abc"); });
  EXPECT_EQ(error.message, "/dev/full: could not write it: No space left on device");
  EXPECT_FALSE(error.hint.empty());
}

TEST(OutputFile, AFileSizeLimitIsSaid) {
  const TemporaryFolder folder;
  ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before = {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const struct rlimit low = {.rlim_cur = 10'000, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &low);
  expect_error<OutputError>("IO_FILE_TOO_BIG", [&] {
    OutputFile file(folder / "x");
    file.write(std::string(20'000, 'x'));
  });
  expect_error<OutputError>("IO_FILE_TOO_BIG", [&] { OutputFile(folder / "y", 20'000); });
  ::setrlimit(RLIMIT_FSIZE, &before);
}

TEST(OutputFile, AMissingFolderIsSaid) {
  expect_error<OutputError>("IO_WRITE_ERROR", [] { OutputFile("/nonexistent/x"); });
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  expect_error<OutputError>("IO_READ_ONLY", [] { OutputFile("/x"); });
}

TEST(WriteFileAtomically, ReplacesOrLeaves) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x", "one");
  write_file_atomically(folder / "x", "two");
  EXPECT_EQ(read_file(folder / "x"), "two");
  fs::create_directory(folder / "folder");
  expect_error<OutputError>("IO_WRITE_ERROR",
                            [&] { write_file_atomically(folder / "folder", "x"); });
  const auto entries = fs::directory_iterator(folder.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 2);  // no temporary file is left
}

TEST(AtomicFile, IsThereWhenItIsWhole) {
  const TemporaryFolder folder;
  folder.write("x", "old");
  {
    AtomicFile left(folder / "x");
    left.write("half");
    EXPECT_EQ(read_file(folder / "x"), "old");
  }
  AtomicFile file(folder / "x");
  for (const char* piece : {"a", "", "bc"}) file.write(piece);
  file.commit();
  EXPECT_EQ(read_file(folder / "x"), "abc");
  const auto entries = fs::directory_iterator(folder.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST(RenamePath, ReplacesOnlyWhenAsked) {
  const TemporaryFolder folder;
  folder.write("a", "a");
  folder.write("b", "b");
  EXPECT_EQ(expect_error<ConfigError>("OUTPUT_EXISTS",
                                      [&] { rename_path(folder / "a", folder / "b", false); })
                .message,
            folder / "b: must not exist");
  EXPECT_EQ(read_file(folder / "b"), "b");
  rename_path(folder / "a", folder / "b", true);
  EXPECT_EQ(read_file(folder / "b"), "a");
  rename_path(folder / "b", folder / "c", false);
  EXPECT_EQ(read_file(folder / "c"), "a");
}

TEST(MakeFolder, AcceptsAnExistingFolderOnly) {
  const TemporaryFolder folder;
  make_folder(folder / "new");
  make_folder(folder / "new");
  EXPECT_TRUE(is_folder(folder / "new"));
  folder.write("file", "x");
  expect_error<OutputError>("IO_WRITE_ERROR", [&] { make_folder(folder / "file"); });
  EXPECT_TRUE(contains(
      expect_error<ConfigError>("OUTPUT_PARENT", [&] { make_folder(folder / "a/b"); }).message,
      "its parent folder " + (folder / "a") + " must exist"));
  // A folder that takes none says ENOENT too.
  expect_error<OutputError>("IO_WRITE_ERROR", [&] { make_folder("/proc/regroup-test"); });
}

TEST(RemoveTree, FollowsNoLinks) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "keep");
  folder.write("keep/file", "x");
  fs::create_directories(folder / "tree/sub");
  fs::create_directory_symlink(folder / "keep", folder / "tree/sub/link");
  remove_tree(folder / "tree");
  EXPECT_FALSE(path_exists(folder / "tree"));
  EXPECT_EQ(read_file(folder / "keep/file"), "x");
  EXPECT_NO_THROW(remove_tree(folder / "tree"));  // absent is fine
}

TEST(Paths, Relations) {
  EXPECT_TRUE(is_inside("/tmp/a/b", "/tmp/a"));
  EXPECT_TRUE(is_inside("/tmp/a", "/tmp/a/"));
  EXPECT_TRUE(is_inside("/tmp/x/../a/b", "/tmp/a"));
  EXPECT_FALSE(is_inside("/tmp/ab", "/tmp/a"));
  EXPECT_FALSE(is_inside("/tmp", "/tmp/a"));
  EXPECT_EQ(parent_folder("a/b"), "a");
  EXPECT_EQ(parent_folder("b"), ".");
  EXPECT_EQ(parent_folder("/b"), "/");
}

TEST(FreeSpace, IsAskedOfTheNearestFolder) {
  const TemporaryFolder folder;
  EXPECT_GT(free_bytes(folder / "not/yet/there"), 0);
  EXPECT_NO_THROW(require_free_space(folder / "x", 1));
  const ErrorInfo error = expect_error<OutputError>(
      "IO_NO_SPACE", [&] { require_free_space(folder / "x", int64_t{1} << 60); });
  // 2^60 bytes and 1 % of it.
  EXPECT_TRUE(contains(error.message, "needs 1.01 EiB of free disk space, found "));
}

TEST(PeakRss, GrowsWithWhatIsTouched) {
  const int64_t before = peak_rss_bytes();
  const std::string large(64 << 20, 'x');
  EXPECT_GT(peak_rss_bytes(), before);
  EXPECT_EQ(large.back(), 'x');
}

}  // namespace
}  // namespace regroup::testing
