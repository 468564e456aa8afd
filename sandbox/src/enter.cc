#include "sandbox/enter.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sandbox/seccomp.h"

namespace carrel::sandbox {
namespace {

// A /proc that is needed for a while has this number then.
constexpr int kProcFd = kEnterGateFd + 1;

// 0 to 3 from `stdio`, the gate as kEnterGateFd, `proc` as kProcFd, nothing else. No close-on-exec for the first four.
int ArrangeDescriptors(const EnterRequest& request) noexcept {
  constexpr int kAbove = kProcFd + 1;
  const std::array<int, 6> given{request.stdio[0], request.stdio[1], request.stdio[2],
                                 request.stdio[3], request.gate,     request.proc};
  std::array<int, 6> moved{-1, -1, -1, -1, -1, -1};
  // First all of them out of the way of the targets.
  for (size_t i = 0; i < moved.size(); ++i) {
    if (given[i] < 0) continue;
    moved[i] = ::fcntl(given[i], F_DUPFD_CLOEXEC, kAbove);
    if (moved[i] < 0) return errno;
  }
  for (size_t i = 0; i < moved.size(); ++i) {
    const int target = static_cast<int>(i);
    if (moved[i] < 0) {
      ::close(target);  // EBADF when it was not open: just what is wanted
    } else if (::dup3(moved[i], target, target < kEnterGateFd ? 0 : O_CLOEXEC) < 0) {
      return errno;
    }
  }
  return ::syscall(SYS_close_range, kAbove, ~0U, 0) == 0 ? 0 : errno;
}

// One of our own files of /proc.
int OpenOwn(int proc, const char* path) noexcept {
  constexpr size_t kPrefix = sizeof "/proc/" - 1;
  return proc >= 0 ? ::openat(proc, path + kPrefix, O_WRONLY | O_CLOEXEC) : ::open(path, O_WRONLY | O_CLOEXEC);
}

int EnterDirectory() noexcept {
  ::umask(022);
  // Fails with EPERM only for a process group's leader, which a freshly forked process is not.
  if (::setsid() < 0) return errno;
  return ::chdir("/mnt/data") == 0 ? 0 : errno;
}

int RaiseOomScore(int proc) noexcept {
  // A process that is not dumpable does not own its /proc files; the drop of the ids forgets this again.
  if (::prctl(PR_SET_DUMPABLE, 1) != 0) return errno;
  const int fd = OpenOwn(proc, "/proc/self/oom_score_adj");
  if (fd < 0) return errno;
  const int error = ::write(fd, "1000", 4) == 4 ? 0 : errno;
  ::close(fd);
  return error;
}

// "ID ID 1\n": the process's own id under its own number. Async-signal-safe.
int MapOwnId(int proc, const char* path, uint32_t id) noexcept {
  std::array<char, 10> digits;
  size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + id % 10);
    id /= 10;
  } while (id != 0);
  std::array<char, 32> line;
  size_t length = 0;
  for (int times = 0; times < 2; ++times) {
    for (size_t i = count; i > 0; --i) line[length++] = digits[i - 1];
    line[length++] = ' ';
  }
  line[length++] = '1';
  line[length++] = '\n';
  const int fd = OpenOwn(proc, path);
  if (fd < 0) return errno;
  const int error = ::write(fd, line.data(), length) == static_cast<ssize_t>(length) ? 0 : errno;
  ::close(fd);
  return error;
}

// Needs the process to be dumpable, which RaiseOomScore has made it.
int EnterOwnUserNamespace(int proc, const Identity& identity) noexcept {
  if (::unshare(CLONE_NEWUSER) != 0) return errno;
  if (const int error = MapOwnId(proc, "/proc/self/uid_map", identity.uid); error != 0) return error;
  return MapOwnId(proc, "/proc/self/gid_map", identity.gid);
}

}  // namespace

const char* EnterStageName(EnterStage stage) noexcept {
  switch (stage) {
    case EnterStage::kNone:
      return "none";
    case EnterStage::kGate:
      return "gate";
    case EnterStage::kCgroup:
      return "cgroup";
    case EnterStage::kNamespaces:
      return "namespaces";
    case EnterStage::kDescriptors:
      return "descriptors";
    case EnterStage::kDirectory:
      return "working directory";
    case EnterStage::kOomScore:
      return "oom_score_adj";
    case EnterStage::kUserNamespace:
      return "user namespace";
    case EnterStage::kRlimits:
      return "rlimits";
    case EnterStage::kIdentity:
      return "identity";
    case EnterStage::kLandlock:
      return "landlock";
    case EnterStage::kSeccomp:
      return "seccomp";
    case EnterStage::kExec:
      return "exec";
  }
  return "unknown";
}

EnterReport EnterJail(const EnterPlan& plan, const EnterRequest& request) noexcept {
  if (const int error = ArrangeDescriptors(request); error != 0) return {EnterStage::kDescriptors, error};
  if (const int error = EnterDirectory(); error != 0) return {EnterStage::kDirectory, error};
  const int proc = request.proc >= 0 ? kProcFd : -1;
  if (const int error = RaiseOomScore(proc); error != 0) return {EnterStage::kOomScore, error};
  if (request.own_user_namespace) {
    if (const int error = EnterOwnUserNamespace(proc, request.identity); error != 0) {
      return {EnterStage::kUserNamespace, error};
    }
  }
  if (proc >= 0) ::close(proc);
  if (const int error = ApplyRlimits(request.rlimits); error != 0) return {EnterStage::kRlimits, error};
  if (const int error = DropTo(request.identity); error != 0) return {EnterStage::kIdentity, error};
  if (!plan.landlock().empty()) {
    if (const int error = RestrictWithLandlock(plan.landlock()); error != 0) return {EnterStage::kLandlock, error};
  }
  if (const int error = LoadFilter(plan.filter()); error != 0) return {EnterStage::kSeccomp, error};
  return {};
}

void ReportAndExit(int gate, const EnterReport& report) noexcept {
  if (gate >= 0) {
    // The jailer also understands an end without a report; there is nobody else to tell.
    [[maybe_unused]] const ssize_t sent = ::send(gate, &report, sizeof report, MSG_NOSIGNAL);
  }
  ::_exit(125);
}

}  // namespace carrel::sandbox
