// System calls that answer as some file systems and sandboxes do. Linked into a test, or loaded with
// LD_PRELOAD. $REGROUP_QUIRKS="flock=38,fsync_folder=95": what they say instead, as errno.
#include <dirent.h>
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

/// The errno that the call has to give, or 0.
int quirk(const char* call) {
  const char* all = std::getenv("REGROUP_QUIRKS");
  const std::string key = std::string(call) + "=";
  const char* found = all == nullptr ? nullptr : std::strstr(all, key.c_str());
  return found == nullptr ? 0 : std::atoi(found + key.size());
}

bool fails(const char* call) {
  const int error_number = quirk(call);
  if (error_number != 0) errno = error_number;
  return error_number != 0;
}

template <typename Call>
Call next(const char* name) {
  return reinterpret_cast<Call>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int flock(int fd, int operation) {
  return fails("flock") ? -1 : next<int (*)(int, int)>("flock")(fd, operation);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  if (flags != 0 && fails("renameat2")) return -1;
  return next<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(
      from_folder, from, to_folder, to, flags);
}

int fsync(int fd) {
  struct stat status = {};
  const bool folder = ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  if (fails(folder ? "fsync_folder" : "fsync_file")) return -1;
  return next<int (*)(int)>("fsync")(fd);
}

int fallocate(int fd, int mode, off_t offset, off_t bytes) {
  if (fails("fallocate")) return -1;
  return next<int (*)(int, int, off_t, off_t)>("fallocate")(fd, mode, offset, bytes);
}

int ftruncate(int fd, off_t bytes) {
  return fails("ftruncate") ? -1 : next<int (*)(int, off_t)>("ftruncate")(fd, bytes);
}

dirent* readdir(DIR* dir) {
  return fails("readdir") ? nullptr : next<dirent* (*)(DIR*)>("readdir")(dir);
}

int faccessat(int folder, const char* path, int mode, int flags) {
  if (fails("faccessat")) return -1;
  return next<int (*)(int, const char*, int, int)>("faccessat")(folder, path, mode, flags);
}
}
