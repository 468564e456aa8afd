#include "doctor_trial.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "sandbox/base/unique_fd.h"
#include "sandbox/identity.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

// As the jailer maps it.
constexpr uint32_t kRangeBase = 1879048192;
constexpr uint32_t kRangeCount = 65536;
// The uid of a session in it.
constexpr uint32_t kSessionUid = 1000;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe MakePipe() {
  std::array<int, 2> ends = {-1, -1};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  return {.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

bool WriteText(const std::string& path, std::string_view text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

[[noreturn]] void Report(int to, TrialStage stage, int error) {
  const TrialResult result{.stage = stage, .error = error};
  _exit(write(to, &result, sizeof result) == sizeof result ? 0 : 1);
}

// Mounts in the new pid namespace, whose first process this is, and the last steps.
[[noreturn]] void TryMounts(int to, const Identity& identity, bool private_proc) {
  const auto check = [to](TrialStage stage, bool fine) {
    if (!fine) Report(to, stage, errno);
  };
  check(TrialStage::kPrivate, mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  check(TrialStage::kTmpfs, mount("carrel", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=64") == 0);
  check(TrialStage::kTmpfs, mkdir("/tmp/usr", 0755) == 0 && mkdir("/tmp/proc", 0755) == 0);
  const auto tree =
      static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, "/usr", OPEN_TREE_CLONE | AT_RECURSIVE | O_CLOEXEC));
  check(TrialStage::kBind, tree >= 0);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  check(TrialStage::kReadOnly,
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) == 0);
  check(TrialStage::kBind, syscall(SYS_move_mount, tree, "", AT_FDCWD, "/tmp/usr", MOVE_MOUNT_F_EMPTY_PATH) == 0);
  check(TrialStage::kProc,
        !private_proc || mount("proc", "/tmp/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0);
  check(TrialStage::kPivot, chdir("/tmp") == 0);
  check(TrialStage::kPivot, syscall(SYS_pivot_root, ".", ".") == 0);
  check(TrialStage::kPivot, umount2(".", MNT_DETACH) == 0 && chdir("/") == 0);
  if (const int error = DropTo(identity); error != 0) Report(to, TrialStage::kIdentity, error);
  Report(to, TrialStage::kDone, 0);
}

[[noreturn]] void TryNamespaces(int to, int mapped, const TrialOptions& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  const std::string uid_map = Concat("0 ", geteuid(), " 1");
  const std::string gid_map = Concat("0 ", getegid(), " 1");
  if (unshare(CLONE_NEWUSER) != 0) Report(to, TrialStage::kUserNamespace, errno);
  if (options.uid_range) {
    // Only from outside; the parent does it when it reads this byte, and closes the pipe.
    char byte = 'u';
    if (write(to, &byte, 1) != 1 || read(mapped, &byte, 1) != 1) Report(to, TrialStage::kUidMap, EPERM);
    if (syscall(SYS_setresgid, 0, 0, 0) != 0 || syscall(SYS_setresuid, 0, 0, 0) != 0) {
      Report(to, TrialStage::kUidMap, errno);
    }
  } else if (!WriteText("/proc/self/setgroups", "deny") || !WriteText("/proc/self/uid_map", uid_map) ||
             !WriteText("/proc/self/gid_map", gid_map)) {
    Report(to, TrialStage::kUidMap, errno);
  }
  constexpr std::array<std::pair<TrialStage, int>, 6> kSpaces = {{{TrialStage::kMountNamespace, CLONE_NEWNS},
                                                                  {TrialStage::kPidNamespace, CLONE_NEWPID},
                                                                  {TrialStage::kNetNamespace, CLONE_NEWNET},
                                                                  {TrialStage::kIpcNamespace, CLONE_NEWIPC},
                                                                  {TrialStage::kUtsNamespace, CLONE_NEWUTS},
                                                                  {TrialStage::kCgroupNamespace, CLONE_NEWCGROUP}}};
  for (const auto& [stage, flag] : kSpaces) {
    if (unshare(flag) != 0) Report(to, stage, errno);
  }
  const Identity identity = options.uid_range ? Identity{.uid = kSessionUid, .gid = kSessionUid}
                                              : Identity{.uid = 0, .gid = 0, .groups_are_fixed = true};
  const pid_t first = fork();
  if (first < 0) Report(to, TrialStage::kPidNamespace, errno);
  if (first == 0) TryMounts(to, identity, options.private_proc);
  int status = 0;
  while (waitpid(first, &status, 0) < 0 && errno == EINTR) {
  }
  _exit(0);
}

bool MapRange(pid_t child) {
  const std::string map = Concat("0 ", kRangeBase, " ", kRangeCount);
  return WriteText(Concat("/proc/", child, "/uid_map"), map) && WriteText(Concat("/proc/", child, "/gid_map"), map);
}

}  // namespace

TrialResult TryJail(const TrialOptions& options) {
  Pipe report = MakePipe();
  Pipe mapped = MakePipe();
  if (!report.read || !mapped.read) return {.stage = TrialStage::kFork, .error = errno};
  const pid_t child = fork();
  if (child < 0) return {.stage = TrialStage::kFork, .error = errno};
  if (child == 0) {
    report.read.reset();
    mapped.write.reset();
    TryNamespaces(report.write.get(), mapped.read.get(), options);
  }
  report.write.reset();
  mapped.read.reset();
  TrialResult result{.stage = TrialStage::kFork, .error = EIO};
  ssize_t got = read(report.read.get(), &result, sizeof result);
  if (got == 1) {
    if (MapRange(child)) {
      const char byte = 'u';
      if (write(mapped.write.get(), &byte, 1) != 1) result = {.stage = TrialStage::kUidMap, .error = errno};
    }
    mapped.write.reset();
    got = read(report.read.get(), &result, sizeof result);
  }
  if (got != sizeof result) result = {.stage = TrialStage::kFork, .error = EIO};
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return result;
}

std::string_view TrialStageName(TrialStage stage) {
  switch (stage) {
    case TrialStage::kFork:
      return "starting a process";
    case TrialStage::kUserNamespace:
      return "making a user namespace";
    case TrialStage::kUidMap:
      return "mapping uids into a user namespace";
    case TrialStage::kMountNamespace:
      return "making a mount namespace";
    case TrialStage::kPidNamespace:
      return "making a pid namespace";
    case TrialStage::kNetNamespace:
      return "making a net namespace";
    case TrialStage::kIpcNamespace:
      return "making an ipc namespace";
    case TrialStage::kUtsNamespace:
      return "making a uts namespace";
    case TrialStage::kCgroupNamespace:
      return "making a cgroup namespace";
    case TrialStage::kPrivate:
      return "making the mounts private";
    case TrialStage::kTmpfs:
      return "mounting a tmpfs";
    case TrialStage::kBind:
      return "binding /usr";
    case TrialStage::kReadOnly:
      return "making a bind read-only";
    case TrialStage::kProc:
      return "mounting /proc";
    case TrialStage::kPivot:
      return "pivot_root";
    case TrialStage::kIdentity:
      return "dropping uid and capabilities";
    case TrialStage::kDone:
      break;
  }
  return "done";
}

}  // namespace carrel::sandbox
