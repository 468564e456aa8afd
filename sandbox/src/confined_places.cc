#include "confined_places.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/clock.h"
#include "confined_policy.h"
#include "sandbox/base/error.h"
#include "sandbox/base/process_info.h"
#include "sandbox/base/unique_fd.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

constexpr char kMend[] = "Kubernetes: an emptyDir (medium: Memory, sizeLimit) mounted there; docker: --tmpfs";
// A session makes them as deep as its inodes reach; each level costs us a descriptor. Deeper ones are lifted up first.
constexpr int kDepthMax = 64;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Directory Open(int parent, const char* name) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return nullptr;
  Directory directory(::fdopendir(fd));
  if (!directory) ::close(fd);
  return directory;
}

bool IsDots(const char* name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

// Under a new name into `top`; names that somebody has planted there are passed over. 0 or errno.
int Lift(int from, const char* name, int top, uint64_t* moved) {
  while (true) {
    const std::string next = Concat(".carrel-lifted-", ++*moved);
    if (::renameat(from, name, top, next.c_str()) == 0) return 0;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) return errno;
  }
}

// `top` is the place itself: what lies too deep is moved up into it, to be met again. 0 or errno.
int Empty(int top, DIR* directory, int depth, uint64_t* moved) {
  const int fd = ::dirfd(directory);
  struct stat place {};
  struct stat own {};
  if (::fstat(top, &place) != 0 || ::fstat(fd, &own) != 0) return errno;
  // Whatever somebody has mounted there is not ours to remove.
  if (place.st_dev != own.st_dev) return EXDEV;
  while (const dirent* entry = ::readdir(directory)) {
    if (IsDots(entry->d_name)) continue;
    if (::unlinkat(fd, entry->d_name, 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM) return errno;
    if (::unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0) continue;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES) return errno;
    // A mode of 0 is the owner's to change.
    (void)::fchmodat(fd, entry->d_name, 0700, 0);
    if (depth == kDepthMax) {
      if (const int error = Lift(fd, entry->d_name, top, moved); error != 0) return error;
      continue;
    }
    const Directory child = Open(fd, entry->d_name);
    if (!child) return errno;
    if (const int error = Empty(top, child.get(), depth + 1, moved); error != 0) return error;
    if (::unlinkat(fd, entry->d_name, AT_REMOVEDIR) != 0) return errno;
  }
  return 0;
}

// A file system mounted somewhere below the place, or "".
std::string MountedBelow(const std::string& path) {
  const auto mounts = ReadSmallFile("/proc/self/mounts");
  if (!mounts.ok()) return path + " (/proc/self/mounts cannot be read)";
  for (const std::string_view line : Split(*mounts, '\n')) {
    const std::vector<std::string_view> words = Words(line);
    if (words.size() > 1 && words[1].starts_with(path + "/")) return std::string(words[1]);
  }
  return "";
}

bool HasEntries(DIR* directory) {
  while (const dirent* entry = ::readdir(directory)) {
    if (!IsDots(entry->d_name)) return true;
  }
  return false;
}

absl::Status CheckPlace(const std::string& path) {
  struct stat own {};
  struct stat parent {};
  if (::lstat(path.c_str(), &own) != 0 || !S_ISDIR(own.st_mode)) {
    return absl::FailedPreconditionError(Concat(path, " is not a directory. Mend: ", kMend));
  }
  if (::stat((path + "/..").c_str(), &parent) != 0) return ErrnoStatus(errno, path + "/..");
  struct statfs about {};
  if (::statfs(path.c_str(), &about) != 0) return ErrnoStatus(errno, path);
  // On a disk that others use nobody could say how much of it is the session's.
  if (own.st_dev == parent.st_dev || about.f_type != TMPFS_MAGIC || about.f_blocks == 0) {
    return absl::FailedPreconditionError(Concat(
        path, " is not a tmpfs of its own with a size, and sessions of the tier confined may fill it. Mend: ", kMend));
  }
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return absl::FailedPreconditionError(Concat(
        path, ": ", std::strerror(errno), ". Mend: securityContext.fsGroup, or docker: --tmpfs ", path, ":mode=1777"));
  }
  if (const std::string below = MountedBelow(path); !below.empty()) {
    return absl::FailedPreconditionError(
        Concat(below, " is mounted in ", path, ", which is emptied after each session. Mend: mount it elsewhere"));
  }
  const Directory directory = Open(AT_FDCWD, path.c_str());
  if (!directory) return ErrnoStatus(errno, path);
  if (ContainerKind()[0] == '\0' && HasEntries(directory.get())) {
    return absl::FailedPreconditionError(Concat(
        path,
        " has files in it, this is no container, and it would be emptied after each session. Mend: an empty file "
        "system of its own there (unshare --mount, mount -t tmpfs)"));
  }
  return absl::OkStatus();
}

}  // namespace

const char* ContainerKind(const std::string& root) {
  if (::access((root + "/.dockerenv").c_str(), F_OK) == 0) return "docker (/.dockerenv)";
  if (::access((root + "/run/.containerenv").c_str(), F_OK) == 0) return "podman (/run/.containerenv)";
  if (::access((root + "/var/run/secrets/kubernetes.io").c_str(), F_OK) == 0 ||
      std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) {
    return "Kubernetes";
  }
  const auto groups = ReadSmallFile(root + "/proc/1/cgroup");
  if (groups.ok()) {
    for (const char* word : {"kubepods", "/docker", "/lxc", "libpod", "containerd"}) {
      if (groups->find(word) != std::string::npos) return "a container (the cgroup of process 1)";
    }
  }
  return "";
}

absl::Status CheckConfinedPlaces() {
  for (const char* path : kConfinedPlaces) {
    if (absl::Status s = CheckPlace(path); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> ClaimConfinedPlaces(absl::Duration wait) {
  UniqueFd first(::open(kConfinedPlaces[0], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!first) return ErrnoStatus(errno, kConfinedPlaces[0]);
  const absl::Time until = absl::Now() + wait;
  while (::flock(first.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, kConfinedPlaces[0]);
    if (absl::Now() > until) {
      return absl::FailedPreconditionError(
          Concat(kConfinedPlaces[0], " is another jailer's. Mend: each server in a container of its own"));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return first;
}

absl::StatusOr<PlaceSizes> SizesOfConfinedPlaces() {
  PlaceSizes sizes{.tmp_bytes = ~uint64_t{0}};
  for (const std::string_view path : kConfinedPlaces) {
    struct statfs about {};
    if (::statfs(std::string(path).c_str(), &about) != 0) return ErrnoStatus(errno, std::string(path));
    const uint64_t bytes = about.f_blocks * static_cast<uint64_t>(about.f_bsize);
    if (path == "/mnt/data") {
      sizes.workspace_bytes = bytes;
      sizes.workspace_files = about.f_files;
    } else {
      sizes.tmp_bytes = std::min(sizes.tmp_bytes, bytes);
    }
  }
  return sizes;
}

absl::Status EmptyConfinedPlaces() {
  for (const char* path : kConfinedPlaces) {
    const Directory directory = Open(AT_FDCWD, path);
    if (!directory) return ErrnoStatus(errno, path);
    const int top = ::dirfd(directory.get());
    uint64_t moved = 0;
    while (true) {
      ::rewinddir(directory.get());
      if (const int error = Empty(top, directory.get(), 0, &moved); error != 0) {
        return ErrnoStatus(error, Concat("empty ", path));
      }
      ::rewinddir(directory.get());
      if (!HasEntries(directory.get())) break;
    }
  }
  return absl::OkStatus();
}

}  // namespace carrel::sandbox
