#include "sandbox/base/child_process.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sandbox/base/error.h"
#include "sandbox/base/message_socket.h"
#include "spawn_child.h"

namespace carrel {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

const char* StageName(SpawnStage stage) {
  switch (stage) {
    case SpawnStage::kDescriptors:
      return "descriptors";
    case SpawnStage::kParent:
      return "parent";
    case SpawnStage::kDirectory:
      return "working directory";
    case SpawnStage::kBeforeExec:
      return "giving up privileges";
    case SpawnStage::kExec:
      return "exec";
  }
  return "?";
}

UniqueFd OpenPidfd(pid_t pid) { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

}  // namespace

ExitStatus ExitStatusFromWait(int wait_status) {
  if (WIFSIGNALED(wait_status)) return {.exit_code = 0, .signal = WTERMSIG(wait_status)};
  return {.exit_code = WEXITSTATUS(wait_status), .signal = 0};
}

std::string Describe(const ExitStatus& status) {
  if (status.signal == 0) return absl::StrCat("exited with ", status.exit_code);
  return absl::StrCat("killed by signal ", status.signal, " (", ::strsignal(status.signal), ")");
}

absl::StatusOr<ChildProcess> ChildProcess::Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return absl::InvalidArgumentError("spawn: no program");
  auto report = MakePipe();
  if (!report.ok()) return report.status();
  const std::vector<char*> argv = Pointers(options.argv);
  std::vector<char*> env;
  if (options.env) env = Pointers(*options.env);
  std::vector<std::pair<int, int>> fds = options.fds;
  const SpawnPlan plan{.program = options.program,
                       .path = options.argv[0].c_str(),
                       .argv = argv.data(),
                       .env = options.env ? env.data() : environ,
                       .directory = options.directory.empty() ? nullptr : options.directory.c_str(),
                       .fds = fds,
                       .report = report->write.get(),
                       .parent = ::getpid(),
                       .dies_with_parent = options.dies_with_parent,
                       .own_session = options.own_session,
                       .before_exec = options.before_exec};
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) RunSpawnedChild(plan);
  report->write.reset();
  auto child = Adopt(pid);
  if (!child.ok()) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return child.status();
  }
  SpawnFailure failure;
  ssize_t got;
  do {
    got = ::read(report->read.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof failure) {
    return ErrnoStatus(failure.error, absl::StrCat("start ", options.argv[0], ": ", StageName(failure.stage)));
  }
  return child;
}

absl::StatusOr<ChildProcess> ChildProcess::Adopt(pid_t pid) {
  UniqueFd pidfd = OpenPidfd(pid);
  if (!pidfd) return ErrnoStatus(errno, "pidfd_open");
  return ChildProcess(pid, std::move(pidfd));
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)), end_(other.end_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    KillAndReap();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    end_ = other.end_;
  }
  return *this;
}

ChildProcess::~ChildProcess() { KillAndReap(); }

void ChildProcess::KillAndReap() {
  if (pid_ < 0 || end_) return;
  (void)Signal(SIGKILL);
  (void)Wait(absl::InfiniteDuration());
}

absl::Status ChildProcess::Signal(int signal) {
  if (end_) return absl::OkStatus();
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
    return ErrnoStatus(errno, "pidfd_send_signal");
  }
  return absl::OkStatus();
}

std::optional<ExitStatus> ChildProcess::Wait(absl::Duration timeout) {
  if (end_) return end_;
  const absl::Time deadline = absl::Now() + timeout;
  pollfd waiting{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  while (true) {
    int millis = -1;
    if (timeout != absl::InfiniteDuration()) {
      const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
      millis = static_cast<int>(
          std::min<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))), 1'000'000'000));
    }
    const int ready = ::poll(&waiting, 1, millis);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    break;
  }
  siginfo_t info{};
  int result;
  do {
    result = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
  } while (result != 0 && errno == EINTR);
  if (result == 0 && info.si_code == CLD_EXITED) {
    end_ = ExitStatus{.exit_code = info.si_status, .signal = 0};
  } else if (result == 0) {
    end_ = ExitStatus{.exit_code = 0, .signal = info.si_status};
  } else {
    end_ = ExitStatus{.exit_code = 255, .signal = 0};  // somebody else reaped it: a bug of the caller's
  }
  return end_;
}

}  // namespace carrel
