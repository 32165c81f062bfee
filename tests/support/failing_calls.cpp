// The n-th call that changes a file fails. Loaded with LD_PRELOAD. Calls on other folders than $REGROUP_FAIL_BELOW
// neither count nor fail.
//   $REGROUP_FAIL_AT=17     which call fails, and all after it too unless $REGROUP_FAIL_ONCE is set; 0: none
//   $REGROUP_FAIL_ERRNO=28  what it says
//   $REGROUP_FAIL_TORN=1    a write puts half of its bytes first
//   $REGROUP_FAIL_LOG=FILE  receives the call that failed first: "write /path"
//   $REGROUP_FAIL_TRACE=FILE  receives a line for each call that counts
// Calls that remove something count, but fail with EIO alone: no full disk keeps a file from being removed.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

template <typename Call>
Call next(const char* name) {
  return reinterpret_cast<Call>(::dlsym(RTLD_NEXT, name));
}

bool is_below(const std::string& path) {
  const std::string folder = setting("REGROUP_FAIL_BELOW");
  return !folder.empty() && path.starts_with(folder);
}

std::string path_of(int fd) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path, sizeof path);
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : "";
}

/// Adds "call path" to the file that `setting_name` names.
void note(const char* setting_name, const std::string& call, const std::string& path) {
  const std::string file = setting(setting_name);
  if (file.empty()) return;
  const std::string line = call + " " + path + "\n";
  const int fd = next<int (*)(const char*, int, ...)>("open")(
      file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  [[maybe_unused]] const ssize_t done =
      next<ssize_t (*)(int, const void*, size_t)>("write")(fd, line.data(), line.size());
  ::close(fd);
}

/// True, with errno set, if this call has to fail.
bool fails(const char* call, const std::string& path) {
  static std::atomic<long> count{0};
  if (!is_below(path)) return false;
  const long n = ++count;
  note("REGROUP_FAIL_TRACE", call, path);
  const long at = std::atol(setting("REGROUP_FAIL_AT").c_str());
  const bool hit = setting("REGROUP_FAIL_ONCE").empty() ? n >= at : n == at;
  if (at == 0 || !hit) return false;
  if (n == at) note("REGROUP_FAIL_LOG", call, path);
  errno = std::atoi(setting("REGROUP_FAIL_ERRNO").c_str());
  return true;
}

bool fails_to_remove(const char* call, const std::string& path) {
  const int before = errno;
  if (fails(call, path) && errno == EIO) return true;
  errno = before;
  return false;
}

std::string path_in(int folder, const char* name) {
  return folder == AT_FDCWD || name[0] == '/' ? name : path_of(folder) + "/" + name;
}

bool is_torn() { return !setting("REGROUP_FAIL_TORN").empty(); }

mode_t mode_of(int flags, va_list list) {
  return (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  if ((flags & O_ACCMODE) != O_RDONLY && fails("open", path)) return -1;
  return next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return open(path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (!fails("write", path_of(fd))) return real(fd, bytes, size);
  const int error_number = errno;
  if (is_torn() && size > 1) return real(fd, bytes, size / 2);
  errno = error_number;
  return -1;
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  if (fails("pwrite", path_of(fd))) return -1;
  return next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite")(fd, bytes, size, offset);
}

size_t fwrite(const void* bytes, size_t size, size_t count, FILE* file) {
  if (fails("fwrite", path_of(::fileno(file)))) return 0;
  return next<size_t (*)(const void*, size_t, size_t, FILE*)>("fwrite")(bytes, size, count, file);
}

int fflush(FILE* file) {
  if (file != nullptr && fails("fflush", path_of(::fileno(file)))) return EOF;
  return next<int (*)(FILE*)>("fflush")(file);
}

FILE* fopen(const char* path, const char* mode) {
  if (mode[0] != 'r' && fails("fopen", path)) return nullptr;
  return next<FILE* (*)(const char*, const char*)>("fopen")(path, mode);
}

int fsync(int fd) { return fails("fsync", path_of(fd)) ? -1 : next<int (*)(int)>("fsync")(fd); }

int fallocate(int fd, int mode, off_t offset, off_t bytes) {
  if (fails("fallocate", path_of(fd))) return -1;
  return next<int (*)(int, int, off_t, off_t)>("fallocate")(fd, mode, offset, bytes);
}

int ftruncate(int fd, off_t bytes) {
  return fails("ftruncate", path_of(fd)) ? -1 : next<int (*)(int, off_t)>("ftruncate")(fd, bytes);
}

char* mkdtemp(char* path) {
  return fails("mkdtemp", path) ? nullptr : next<char* (*)(char*)>("mkdtemp")(path);
}

int mkostemp(char* path, int flags) {
  return fails("mkostemp", path) ? -1 : next<int (*)(char*, int)>("mkostemp")(path, flags);
}

int unlink(const char* path) {
  return fails_to_remove("unlink", path) ? -1 : next<int (*)(const char*)>("unlink")(path);
}

int unlinkat(int folder, const char* name, int flags) {
  if (fails_to_remove("unlinkat", path_in(folder, name))) return -1;
  return next<int (*)(int, const char*, int)>("unlinkat")(folder, name, flags);
}

int rmdir(const char* path) {
  return fails_to_remove("rmdir", path) ? -1 : next<int (*)(const char*)>("rmdir")(path);
}

int remove(const char* path) {
  return fails_to_remove("remove", path) ? -1 : next<int (*)(const char*)>("remove")(path);
}

int mkdir(const char* path, mode_t mode) {
  return fails("mkdir", path) ? -1 : next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

int rename(const char* from, const char* to) {
  return fails("rename", to) ? -1 : next<int (*)(const char*, const char*)>("rename")(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  if (fails("renameat2", to)) return -1;
  return next<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(
      from_folder, from, to_folder, to, flags);
}
}
