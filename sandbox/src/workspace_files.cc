#include "workspace_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace carrel::sandbox {
namespace {

constexpr mode_t kModeBits = 0777;

int OpenBeneath(int directory, const char* path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  // EAGAIN: something was renamed while the kernel looked, which the session can do as often as it likes.
  for (int attempt = 0; attempt < 64; ++attempt) {
    const int fd = static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how));
    if (fd >= 0 || errno != EAGAIN) return fd;
  }
  return -1;
}

int64_t Nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

WorkspaceEntry EntryOf(std::string path, const struct stat& about) {
  WorkspaceEntry entry;
  entry.path = std::move(path);
  entry.size_bytes = static_cast<uint64_t>(about.st_size);
  entry.blocks_bytes = static_cast<uint64_t>(about.st_blocks) * 512;
  entry.inode = about.st_ino;
  entry.modified_ns = Nanoseconds(about.st_mtim);
  entry.changed_ns = Nanoseconds(about.st_ctim);
  entry.mode = about.st_mode & kModeBits;
  using Kind = WorkspaceEntry::Kind;
  switch (about.st_mode & S_IFMT) {
    case S_IFREG:
      entry.kind = Kind::kRegular;
      break;
    case S_IFDIR:
      entry.kind = Kind::kDirectory;
      break;
    case S_IFLNK:
      entry.kind = Kind::kSymlink;
      break;
    case S_IFIFO:
      entry.kind = Kind::kFifo;
      break;
    case S_IFSOCK:
      entry.kind = Kind::kSocket;
      break;
    default:
      entry.kind = Kind::kDevice;
  }
  return entry;
}

// "a/b/c" into ("a/b", "c"). A path that could mean anything else than a file beneath is refused.
bool SplitPath(const std::string& path, std::vector<std::string>* parents, std::string* leaf) {
  std::string part;
  for (size_t at = 0; at <= path.size(); ++at) {
    if (at < path.size() && path[at] != '/') {
      if (path[at] == '\0') return false;
      part.push_back(path[at]);
      continue;
    }
    if (part.empty() || part == "." || part == "..") return false;
    parents->push_back(std::exchange(part, {}));
  }
  *leaf = std::move(parents->back());
  parents->pop_back();
  return true;
}

OpenOutcome OpenParents(int workspace, const std::vector<std::string>& parents, const FileOwner* make_for) {
  UniqueFd at(OpenBeneath(workspace, ".", O_RDONLY | O_DIRECTORY));
  if (!at) return {errno, {}};
  for (const std::string& part : parents) {
    UniqueFd next(OpenBeneath(at.get(), part.c_str(), O_RDONLY | O_DIRECTORY));
    if (!next && errno == ENOENT && make_for != nullptr) {
      if (::mkdirat(at.get(), part.c_str(), 0755) != 0 && errno != EEXIST) return {errno, {}};
      next.reset(OpenBeneath(at.get(), part.c_str(), O_RDONLY | O_DIRECTORY));
      if (next && ::fchown(next.get(), make_for->uid, make_for->gid) != 0) return {errno, {}};
    }
    if (!next) return {errno, {}};
    at = std::move(next);
  }
  return {0, std::move(at)};
}

int SetModified(int fd, const std::optional<int64_t>& modified_ns) {
  if (!modified_ns) return 0;
  constexpr int64_t kSecond = 1'000'000'000;
  timespec time{.tv_sec = *modified_ns / kSecond, .tv_nsec = *modified_ns % kSecond};
  if (time.tv_nsec < 0) {  // before 1970
    time.tv_nsec += kSecond;
    --time.tv_sec;
  }
  const timespec times[2] = {time, time};
  return ::futimens(fd, times) == 0 ? 0 : errno;
}

class Lister final {
 public:
  explicit Lister(const ListOptions& options) : options_(options), deadline_(absl::Now() + options.time_max) {}

  // Names first, then down: at any time one descriptor per level is open.
  void Walk(int directory, const std::string& prefix, uint32_t depth) {
    DIR* stream = ::fdopendir(directory);
    if (stream == nullptr) {
      ::close(directory);
      listing_.incomplete = true;
      return;
    }
    std::vector<std::string> below;
    while (const dirent* found = ::readdir(stream)) {
      const std::string_view name = found->d_name;
      if (name == "." || name == "..") continue;
      if (listing_.entries.size() >= options_.entries_max || absl::Now() > deadline_) {
        listing_.incomplete = true;
        break;
      }
      struct stat about {};
      if (::fstatat(::dirfd(stream), found->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) continue;  // just removed
      listing_.entries.push_back(EntryOf(absl::StrCat(prefix, found->d_name), about));
      if (S_ISDIR(about.st_mode)) below.emplace_back(found->d_name);
    }
    for (const std::string& name : below) {
      if (listing_.incomplete && absl::Now() > deadline_) break;
      if (depth + 1 >= options_.depth_max || prefix.size() + name.size() + 1 >= kPathBytesMax) {
        listing_.incomplete = true;
        continue;
      }
      const int next = OpenBeneath(::dirfd(stream), name.c_str(), O_RDONLY | O_DIRECTORY);
      if (next >= 0) Walk(next, absl::StrCat(prefix, name, "/"), depth + 1);
    }
    ::closedir(stream);
  }

  WorkspaceListing Take() { return std::move(listing_); }

 private:
  static constexpr size_t kPathBytesMax = 3800;  // leaves room for a name below 4096
  const ListOptions& options_;
  const absl::Time deadline_;
  WorkspaceListing listing_;
};

}  // namespace

OpenOutcome OpenWorkspaceFile(int workspace, const std::string& path) {
  std::vector<std::string> parents;
  std::string leaf;
  if (!SplitPath(path, &parents, &leaf)) return {EINVAL, {}};
  // Non-blocking: a FIFO must not hold us. A device cannot be there (the mount is nodev).
  UniqueFd fd(OpenBeneath(workspace, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY));
  if (!fd) return {errno == ENXIO ? EINVAL : errno, {}};  // ENXIO: a socket
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) return {errno, {}};
  if (!S_ISREG(about.st_mode)) return {EINVAL, {}};
  return {0, std::move(fd)};
}

WorkspaceEntry DescribeFile(std::string path, int fd) {
  struct stat about {};
  // Of an open file on a tmpfs this cannot fail.
  (void)::fstat(fd, &about);
  return EntryOf(std::move(path), about);
}

WorkspaceListing ListWorkspace(int workspace, const ListOptions& options) {
  Lister lister(options);
  const int root = OpenBeneath(workspace, ".", O_RDONLY | O_DIRECTORY);
  if (root >= 0) lister.Walk(root, "", 0);
  return lister.Take();
}

int MakeWorkspaceDirectory(int workspace, const std::string& path, FileOwner owner, const WriteOptions& options) {
  std::vector<std::string> parents;
  std::string leaf;
  if (!SplitPath(path, &parents, &leaf)) return EINVAL;
  parents.push_back(leaf);
  const OpenOutcome made = OpenParents(workspace, parents, &owner);
  if (made.error != 0) return made.error;
  if (::fchmod(made.fd.get(), options.mode & kModeBits) != 0) return errno;
  return SetModified(made.fd.get(), options.modified_ns);
}

int RemoveWorkspaceFile(int workspace, const std::string& path) {
  std::vector<std::string> parents;
  std::string leaf;
  if (!SplitPath(path, &parents, &leaf)) return EINVAL;
  const OpenOutcome parent = OpenParents(workspace, parents, nullptr);
  if (parent.error != 0) return parent.error;
  if (::unlinkat(parent.fd.get(), leaf.c_str(), 0) == 0) return 0;
  if (errno != EISDIR) return errno;
  return ::unlinkat(parent.fd.get(), leaf.c_str(), AT_REMOVEDIR) == 0 ? 0 : errno;
}

NewFile::Outcome NewFile::Create(int workspace, std::string path, FileOwner owner, const WriteOptions& options) {
  Outcome outcome;
  NewFile& file = outcome.file;
  std::vector<std::string> parents;
  if (!SplitPath(path, &parents, &file.leaf_)) {
    outcome.error = EINVAL;
    return outcome;
  }
  OpenOutcome parent = OpenParents(workspace, parents, &owner);
  outcome.error = parent.error;
  if (outcome.error != 0) return outcome;
  file.path_ = std::move(path);
  file.options_ = options;
  file.parent_ = std::move(parent.fd);
  struct stat about {};
  if (!options.replace && ::fstatat(file.parent_.get(), file.leaf_.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0) {
    outcome.error = EEXIST;  // early; Finish asks again
    return outcome;
  }
  file.fd_.reset(::openat(file.parent_.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (!file.fd_ || ::fchmod(file.fd_.get(), options.mode & kModeBits) != 0 ||
      ::fchown(file.fd_.get(), owner.uid, owner.gid) != 0) {
    outcome.error = errno;
  }
  return outcome;
}

int NewFile::Finish(int proc) {
  if (const int error = SetModified(fd_.get(), options_.modified_ns); error != 0) return error;
  const std::string self = absl::StrCat(proc < 0 ? "/proc/" : "", "self/fd/", fd_.get());
  if (!options_.replace) {
    return ::linkat(proc < 0 ? AT_FDCWD : proc, self.c_str(), parent_.get(), leaf_.c_str(), AT_SYMLINK_FOLLOW) == 0
               ? 0
               : errno;
  }
  // A link cannot take another's place, a rename can; and it replaces a planted link instead of following it.
  for (unsigned attempt = 0; attempt < 100; ++attempt) {
    const std::string name = absl::StrCat(".carrel-new-", ::getpid(), "-", attempt);
    if (::linkat(proc < 0 ? AT_FDCWD : proc, self.c_str(), parent_.get(), name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      if (errno == EEXIST) continue;
      return errno;
    }
    if (::renameat(parent_.get(), name.c_str(), parent_.get(), leaf_.c_str()) == 0) return 0;
    const int error = errno;
    ::unlinkat(parent_.get(), name.c_str(), 0);
    return error;
  }
  return EEXIST;
}

}  // namespace carrel::sandbox
