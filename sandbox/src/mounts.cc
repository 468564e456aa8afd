#include "mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "disk_image.h"
#include "sandbox/base/error.h"
#include "sandbox/base/unique_fd.h"
#include "uncounted_memory.h"

// <linux/mount.h> and <sys/mount.h> cannot be included together with this glibc.
extern "C" {
int mount(const char*, const char*, const char*, unsigned long, const void*) noexcept;
int umount2(const char*, int) noexcept;
}

namespace carrel::sandbox {
namespace {

constexpr int kDetach = 2;  // MNT_DETACH

int OpenTree(int directory, const char* path, unsigned flags) {
  return static_cast<int>(::syscall(SYS_open_tree, directory, path, flags));
}

int MoveMount(int tree, const char* target) {
  return static_cast<int>(::syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
}

int SetAttributes(int tree, uint64_t attributes, unsigned flags) {
  mount_attr attr{};
  attr.attr_set = attributes;
  return static_cast<int>(::syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | flags, &attr, sizeof attr));
}

int PivotTo(const char* root) {
  if (::chdir(root) != 0) return errno;
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return errno;
  // The old root now lies over the new one; with it goes every name of the old tree.
  if (::umount2(".", kDetach) != 0) return errno;
  return ::chdir("/") == 0 ? 0 : errno;
}

// A bind whose source is already held open, because its path will soon be out of sight.
struct OpenBind {
  std::string target;
  UniqueFd tree;
  bool directory = true;
  bool device = false;
};

absl::StatusOr<OpenBind> OpenBindSource(const std::string& source, const std::string& target, bool device) {
  OpenBind bind{.target = target, .tree = {}, .directory = true, .device = device};
  bind.tree.reset(OpenTree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!bind.tree) return ErrnoStatus(errno, absl::StrCat("bind ", source));
  struct stat about {};
  if (::fstat(bind.tree.get(), &about) != 0) return ErrnoStatus(errno, absl::StrCat("bind ", source));
  bind.directory = S_ISDIR(about.st_mode);
  // Device nodes are for reading and writing, and nothing else of the host's is either.
  const uint64_t attributes =
      device ? MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC : MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (SetAttributes(bind.tree.get(), attributes, AT_RECURSIVE) != 0) {
    return ErrnoStatus(errno, absl::StrCat("bind ", source, " read-only"));
  }
  return bind;
}

constexpr const char* kDevices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
// What programs look for in /etc and what says nothing about this machine's people or network. A policy may bind more.
constexpr const char* kHostEtc[] = {"/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/timezone"};

absl::StatusOr<std::vector<OpenBind>> OpenBinds(const Policy& policy) {
  std::vector<OpenBind> binds;
  std::set<std::string> targets;
  for (const Bind& bind : policy.binds) {
    if (bind.optional && ::access(bind.source.c_str(), F_OK) != 0) continue;
    auto opened = OpenBindSource(bind.source, bind.target, false);
    if (!opened.ok()) return opened.status();
    binds.push_back(*std::move(opened));
    targets.insert(bind.target);
  }
  for (const char* path : kHostEtc) {
    if (targets.contains(path) || targets.contains("/etc") || ::access(path, F_OK) != 0) continue;
    auto opened = OpenBindSource(path, path, false);
    if (!opened.ok()) return opened.status();
    binds.push_back(*std::move(opened));
  }
  for (const std::string path : kDevices) {
    const std::string source = policy.memory_is_watched && path == kZeroDevice ? kZeroDeviceThatCannotBeMapped : path;
    auto opened = OpenBindSource(source, path, true);
    if (!opened.ok()) return opened.status();
    binds.push_back(*std::move(opened));
  }
  return binds;
}

absl::Status MakeDirectories(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoStatus(errno, absl::StrCat("mkdir ", part));
    if (at == std::string::npos) return absl::OkStatus();
  }
}

absl::Status MakeFile(const std::string& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return ErrnoStatus(errno, absl::StrCat("create ", path));
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(errno, absl::StrCat("write ", path));
  }
  return absl::OkStatus();
}

absl::Status MakeLink(const std::string& text, const std::string& path) {
  if (::symlink(text.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, absl::StrCat("symlink ", path));
  return absl::OkStatus();
}

absl::Status AttachBind(const std::string& root, const OpenBind& bind) {
  const std::string target = root + bind.target;
  struct stat about {};
  // A target inside another bind must be there already: that one is read-only.
  if (::lstat(target.c_str(), &about) != 0) {
    const std::string parent = target.substr(0, target.rfind('/'));
    const std::string made = bind.directory ? target : parent;
    if (absl::Status s = MakeDirectories(made); !s.ok()) return s;
    if (!bind.directory) {
      if (absl::Status s = MakeFile(target, ""); !s.ok()) return s;
    }
  }
  if (MoveMount(bind.tree.get(), target.c_str()) != 0)
    return ErrnoStatus(errno, absl::StrCat("mount at ", bind.target));
  return absl::OkStatus();
}

// A usr-merged system has /bin and its like as links; the jail has them where the host has them.
struct MergedLink {
  std::string path;
  std::string text;
};

std::vector<MergedLink> ReadMergedLinks() {
  std::vector<MergedLink> links;
  for (const char* path : {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}) {
    char text[256];
    const ssize_t length = ::readlink(path, text, sizeof text);
    if (length > 0) links.push_back({path, std::string(text, static_cast<size_t>(length))});
  }
  return links;
}

struct EtcFile {
  const char* path;
  const char* text;
};
// A network and names of nobody.
constexpr EtcFile kSyntheticEtc[] = {
    {"/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
    {"/etc/hostname", "carrel\n"},
    {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"},
};
// Every session has a number of its own, and so accounts of its own: a small tmpfs to which the template's links lead.
constexpr char kAccountsPlace[] = "/etc/session";
constexpr EtcFile kAccountLinks[] = {{"/etc/passwd", "session/passwd"}, {"/etc/group", "session/group"}};

absl::Status FillTemplate(const std::string& root, const Policy& policy, const std::vector<OpenBind>& binds,
                          const std::vector<MergedLink>& links) {
  for (const char* directory : {"/proc", "/mnt/data", "/tmp", "/dev/shm", "/etc", "/run", "/var"}) {
    if (absl::Status s = MakeDirectories(root + directory); !s.ok()) return s;
  }
  std::set<std::string> bound;
  for (const OpenBind& bind : binds) bound.insert(bind.target);
  for (const MergedLink& link : links) {
    if (bound.contains(link.path)) continue;
    if (absl::Status s = MakeLink(link.text, root + link.path); !s.ok()) return s;
  }
  for (const auto& [path, text] : {std::pair{"/dev/fd", "/proc/self/fd"}, std::pair{"/dev/stdin", "/proc/self/fd/0"},
                                   std::pair{"/dev/stdout", "/proc/self/fd/1"},
                                   std::pair{"/dev/stderr", "/proc/self/fd/2"}, std::pair{"/var/tmp", "/tmp"}}) {
    if (policy.empty_proc && std::string_view(text).starts_with("/proc/")) continue;  // it would lead nowhere
    if (absl::Status s = MakeLink(text, root + path); !s.ok()) return s;
  }
  if (!bound.contains("/etc")) {
    for (const EtcFile& file : kSyntheticEtc) {
      if (bound.contains(file.path)) continue;
      if (absl::Status s = MakeFile(root + file.path, file.text); !s.ok()) return s;
    }
    if (absl::Status s = MakeDirectories(root + kAccountsPlace); !s.ok()) return s;
    for (const EtcFile& link : kAccountLinks) {
      if (bound.contains(link.path)) continue;
      if (absl::Status s = MakeLink(link.text, root + link.path); !s.ok()) return s;
    }
  }
  for (const OpenBind& bind : binds) {
    if (absl::Status s = AttachBind(root, bind); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status BuildTemplate(const std::string& root, const Policy& policy, const std::vector<OpenBind>& binds,
                           const std::vector<MergedLink>& links) {
  if (::mkdir(root.c_str(), 0755) != 0) return ErrnoStatus(errno, absl::StrCat("mkdir ", root));
  if (::mount("carrel", root.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m,nr_inodes=4096") != 0) {
    return ErrnoStatus(errno, absl::StrCat("tmpfs at ", root));
  }
  if (absl::Status s = FillTemplate(root, policy, binds, links); !s.ok()) return s;
  const UniqueFd tree(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!tree || SetAttributes(tree.get(), MOUNT_ATTR_RDONLY, 0) != 0) {
    return ErrnoStatus(errno, absl::StrCat("make ", root, " read-only"));
  }
  return absl::OkStatus();
}

// Any directory that certainly exists and that nothing of ours is executed from.
absl::Status MountStage() {
  for (const char* place : {"/run", "/mnt", "/tmp", "/var"}) {
    struct stat about {};
    if (::stat(place, &about) != 0 || !S_ISDIR(about.st_mode)) continue;
    if (::mount("carrel", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0) {
      return ErrnoStatus(errno, absl::StrCat("tmpfs at ", place));
    }
    if (::chdir(place) != 0) return ErrnoStatus(errno, place);
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError("none of /run, /mnt, /tmp, /var is there to mount on");
}

// The accounts of a machine that has nobody but the session.
absl::Status WriteAccounts(const SessionRoot& root, const std::string& place) {
  std::string users = "root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n";
  std::string groups = "root:x:0:\nnogroup:x:65534:\n";
  if (root.uid != 0) absl::StrAppend(&users, "user:x:", root.uid, ":", root.gid, ":user:", root.home, ":/bin/sh\n");
  if (root.gid != 0) absl::StrAppend(&groups, "user:x:", root.gid, ":\n");
  if (absl::Status s = MakeFile(place + "/passwd", users); !s.ok()) return s;
  return MakeFile(place + "/group", groups);
}

int MountAccounts(const SessionRoot& root) {
  const std::string place = absl::StrCat("/root", kAccountsPlace);
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("carrel", place.c_str(), "tmpfs", kFlags, "mode=0755,size=16k,nr_inodes=8") != 0) {
    return errno == ENOENT ? 0 : errno;  // the policy shows an /etc of its own
  }
  if (!WriteAccounts(root, place).ok()) return EIO;
  return ::mount(nullptr, place.c_str(), nullptr, kFlags | MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0 ? 0 : errno;
}

int MountWorkspace(const SessionRoot& root) {
  constexpr char kPlace[] = "/root/mnt/data";
  if (root.disk >= 0) {
    // What is at /disk goes with the nursery's root, and the session keeps the one directory.
    if (MoveMount(root.disk, "/disk") != 0) return errno;
    const UniqueFd data(
        OpenTree(AT_FDCWD, absl::StrCat("/disk/", kDiskData).c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    return data && MoveMount(data.get(), kPlace) == 0 ? 0 : errno;
  }
  const std::string options =
      absl::StrCat("mode=0755,uid=", root.uid, ",gid=", root.gid, ",size=", root.limits.workspace_bytes,
                   ",nr_inodes=", root.limits.workspace_files);
  return ::mount("carrel", kPlace, "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) == 0 ? 0 : errno;
}

}  // namespace

std::string HomeOf(const Policy& policy) {
  for (const std::string& variable : policy.env) {
    if (variable.starts_with("HOME=") && variable.find_first_of(":\n") == std::string::npos) return variable.substr(5);
  }
  return "/mnt/data";
}

absl::Status BuildNurseryRoot(std::span<const Policy> policies) {
  ::umask(022);
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus(errno, "make all mounts private");
  }
  std::vector<std::vector<OpenBind>> binds;
  for (const Policy& policy : policies) {
    auto opened = OpenBinds(policy);
    if (!opened.ok()) {
      return absl::Status(opened.status().code(),
                          absl::StrCat("policy ", policy.name, ": ", opened.status().message()));
    }
    binds.push_back(*std::move(opened));
  }
  const std::vector<MergedLink> links = ReadMergedLinks();
  const UniqueFd proc(OpenTree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!proc) return ErrnoStatus(errno, "open /proc");
  if (absl::Status s = MountStage(); !s.ok()) return s;
  for (const char* directory : {"proc", "t", "root", "disk"}) {
    if (::mkdir(directory, 0755) != 0) return ErrnoStatus(errno, absl::StrCat("mkdir ", directory));
  }
  if (MoveMount(proc.get(), "proc") != 0) return ErrnoStatus(errno, "mount /proc in the nursery");
  if (const int error = PivotTo("."); error != 0) return ErrnoStatus(error, "pivot into the nursery's root");
  for (size_t i = 0; i < policies.size(); ++i) {
    if (absl::Status s = BuildTemplate(absl::StrCat("/t/", i), policies[i], binds[i], links); !s.ok()) {
      return absl::Status(s.code(), absl::StrCat("policy ", policies[i].name, ": ", s.message()));
    }
  }
  return absl::OkStatus();
}

SetupError EnterSessionRoot(const SessionRoot& root) {
  const std::string source = absl::StrCat("/t/", root.policy);
  const UniqueFd tree(OpenTree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree || MoveMount(tree.get(), "/root") != 0) return {SetupStage::kRoot, errno};
  if (const int error = MountWorkspace(root); error != 0) return {SetupStage::kWorkspace, error};
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV;
  const std::string tmp =
      absl::StrCat("mode=1777,size=", root.limits.tmp_bytes, ",nr_inodes=", root.limits.workspace_files);
  for (const char* target : {"/root/tmp", "/root/dev/shm"}) {
    if (::mount("carrel", target, "tmpfs", kFlags, tmp.c_str()) != 0) return {SetupStage::kTmp, errno};
  }
  if (const int error = MountAccounts(root); error != 0) return {SetupStage::kAccounts, error};
  // An empty one is the template's directory, which is read-only.
  if (!root.empty_proc && ::mount("proc", "/root/proc", "proc", kFlags | MS_NOEXEC, nullptr) != 0) {
    return {SetupStage::kProc, errno};
  }
  if (const int error = PivotTo("/root"); error != 0) return {SetupStage::kPivot, error};
  return {};
}

}  // namespace carrel::sandbox
