#include "file_faults.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace carrel::testing {
namespace {

// Plain arrays and atomics: these functions are called from anywhere, also before main and after it.
// As programs name it, and as the kernel does.
char directory[PATH_MAX], real_directory[PATH_MAX];
std::atomic<bool> counting = false;
std::atomic<uint8_t> operation_counted = 0;
std::atomic<uint64_t> hit_at = 0;
std::atomic<int> error_given = 0;
std::atomic<bool> hits_last = false;
std::atomic<uint64_t> counted = 0;
std::atomic<uint64_t> hits = 0;

bool IsIn(const char* path, const char* above) {
  const size_t length = std::strlen(above);
  return std::strncmp(path, above, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

bool IsBelow(const char* path) { return counting && (IsIn(path, directory) || IsIn(path, real_directory)); }

bool IsBelow(int fd) {
  if (!counting) return false;
  char link[64], path[PATH_MAX];
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = ::readlink(link, path, sizeof(path) - 1);
  if (length <= 0) return false;
  path[length] = '\0';
  return IsBelow(path);
}

// Whether this operation is hit.
bool Count(FileOperation operation) {
  const auto wanted = static_cast<FileOperation>(operation_counted.load());
  if (wanted != FileOperation::kAny && wanted != operation) return false;
  const uint64_t number = ++counted;
  const uint64_t at = hit_at.load();
  if (at == 0 || number < at || (number > at && !hits_last)) return false;
  ++hits;
  return true;
}

[[noreturn]] void Die() {
  ::kill(::getpid(), SIGKILL);
  while (true) ::pause();
}

// -1 with errno set, or the end.
long Fail() {
  const int error = error_given.load();
  if (error == 0) Die();
  errno = error;
  return -1;
}

long Write(int fd, const void* buffer, size_t size, off_t offset, bool at_offset) {
  const auto write = [&](size_t bytes) {
    return at_offset ? ::syscall(SYS_pwrite64, fd, buffer, bytes, offset) : ::syscall(SYS_write, fd, buffer, bytes);
  };
  if (!IsBelow(fd) || !Count(FileOperation::kWrite)) return write(size);
  if (error_given == 0) {
    write(size / 2);
    Die();
  }
  return Fail();
}

long Do(bool below, FileOperation operation, auto call) { return below && Count(operation) ? Fail() : call(); }

int Open(const char* path, int flags, mode_t mode) {
  return static_cast<int>(Do((flags & O_CREAT) != 0 && IsBelow(path), FileOperation::kCreate,
                             [&] { return ::syscall(SYS_openat, AT_FDCWD, path, flags, mode); }));
}

}  // namespace

void SetFileFault(const std::string& below, const FileFault& fault) {
  counting = false;
  std::snprintf(directory, sizeof(directory), "%s", below.c_str());
  if (::realpath(directory, real_directory) == nullptr) std::snprintf(real_directory, PATH_MAX, "%s", below.c_str());
  operation_counted = static_cast<uint8_t>(fault.operation);
  hit_at = fault.at;
  error_given = fault.error;
  hits_last = fault.lasts;
  counted = hits = 0;
  counting = true;
}

void ClearFileFault() { counting = false; }
uint64_t FileOperationsCounted() { return counted; }
uint64_t FileFaultsHit() { return hits; }

}  // namespace carrel::testing

// What libraries call is found here first.
extern "C" {
using carrel::testing::Count;
using carrel::testing::Do;
using carrel::testing::FileOperation;
using carrel::testing::IsBelow;

ssize_t write(int fd, const void* buffer, size_t size) { return carrel::testing::Write(fd, buffer, size, 0, false); }
ssize_t pwrite(int fd, const void* buffer, size_t size, off_t offset) {
  return carrel::testing::Write(fd, buffer, size, offset, true);
}
ssize_t pwrite64(int fd, const void* buffer, size_t size, off64_t offset) {
  return carrel::testing::Write(fd, buffer, size, offset, true);
}
int fsync(int fd) {
  return static_cast<int>(Do(IsBelow(fd), FileOperation::kSync, [&] { return ::syscall(SYS_fsync, fd); }));
}
int fdatasync(int fd) {
  return static_cast<int>(Do(IsBelow(fd), FileOperation::kSync, [&] { return ::syscall(SYS_fdatasync, fd); }));
}
int ftruncate(int fd, off_t size) noexcept {
  return static_cast<int>(
      Do(IsBelow(fd), FileOperation::kTruncate, [&] { return ::syscall(SYS_ftruncate, fd, size); }));
}
int ftruncate64(int fd, off64_t size) noexcept {
  return static_cast<int>(
      Do(IsBelow(fd), FileOperation::kTruncate, [&] { return ::syscall(SYS_ftruncate, fd, size); }));
}
int rename(const char* from, const char* to) noexcept {
  return static_cast<int>(Do(IsBelow(to), FileOperation::kRename, [&] { return ::syscall(SYS_rename, from, to); }));
}
int unlink(const char* path) noexcept {
  return static_cast<int>(Do(IsBelow(path), FileOperation::kUnlink, [&] { return ::syscall(SYS_unlink, path); }));
}
int mkdir(const char* path, mode_t mode) noexcept {
  return static_cast<int>(Do(IsBelow(path), FileOperation::kCreate, [&] { return ::syscall(SYS_mkdir, path, mode); }));
}
int mkostemp(char* path, int flags) {
  // The random name by the C library's sibling, which is not counted: one question before it.
  if (IsBelow(path) && Count(FileOperation::kCreate)) return static_cast<int>(carrel::testing::Fail());
  return ::mkostemps(path, 0, flags);
}
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return carrel::testing::Open(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return carrel::testing::Open(path, flags | O_LARGEFILE, mode);
}
}
