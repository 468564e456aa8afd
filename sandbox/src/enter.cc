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

// 0 to 3 from `stdio`, the gate as kEnterGateFd, nothing else. No close-on-exec for the first four.
int ArrangeDescriptors(const EnterRequest& request) noexcept {
  constexpr int kAbove = kEnterGateFd + 1;
  std::array<int, 4> moved{-1, -1, -1, -1};
  // First all of them out of the way of the targets.
  for (size_t i = 0; i < moved.size(); ++i) {
    if (request.stdio[i] < 0) continue;
    moved[i] = ::fcntl(request.stdio[i], F_DUPFD_CLOEXEC, kAbove);
    if (moved[i] < 0) return errno;
  }
  int gate = request.gate;
  if (gate >= 0 && gate != kEnterGateFd) {
    gate = ::fcntl(request.gate, F_DUPFD_CLOEXEC, kAbove);
    if (gate < 0) return errno;
    if (::dup3(gate, kEnterGateFd, O_CLOEXEC) < 0) return errno;
  }
  for (size_t i = 0; i < moved.size(); ++i) {
    const int target = static_cast<int>(i);
    if (moved[i] < 0) {
      ::close(target);  // EBADF when it was not open: just what is wanted
    } else if (::dup2(moved[i], target) < 0) {
      return errno;
    }
  }
  const unsigned first = request.gate >= 0 ? kAbove : kEnterGateFd;
  return ::syscall(SYS_close_range, first, ~0U, 0) == 0 ? 0 : errno;
}

int EnterDirectory() noexcept {
  ::umask(022);
  // Fails with EPERM only for a process group's leader, which a freshly forked process is not.
  if (::setsid() < 0) return errno;
  return ::chdir("/mnt/data") == 0 ? 0 : errno;
}

int RaiseOomScore() noexcept {
  // A process that is not dumpable does not own its /proc files; the drop of the ids forgets this again.
  if (::prctl(PR_SET_DUMPABLE, 1) != 0) return errno;
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = ::write(fd, "1000", 4) == 4 ? 0 : errno;
  ::close(fd);
  return error;
}

// "ID ID 1\n": the process's own id under its own number. Async-signal-safe.
int MapOwnId(const char* path, uint32_t id) noexcept {
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
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = ::write(fd, line.data(), length) == static_cast<ssize_t>(length) ? 0 : errno;
  ::close(fd);
  return error;
}

// Needs the process to be dumpable, which RaiseOomScore has made it.
int EnterOwnUserNamespace(const Identity& identity) noexcept {
  if (::unshare(CLONE_NEWUSER) != 0) return errno;
  if (const int error = MapOwnId("/proc/self/uid_map", identity.uid); error != 0) return error;
  return MapOwnId("/proc/self/gid_map", identity.gid);
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
  if (const int error = RaiseOomScore(); error != 0) return {EnterStage::kOomScore, error};
  if (request.own_user_namespace) {
    if (const int error = EnterOwnUserNamespace(request.identity); error != 0) {
      return {EnterStage::kUserNamespace, error};
    }
  }
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
