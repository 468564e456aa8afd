#include "spawn_child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace carrel {
namespace {

[[noreturn]] void Fail(int report, SpawnStage stage, int error) noexcept {
  const SpawnFailure failure{stage, error};
  // Nobody to tell when this fails; the exit code says the rest.
  [[maybe_unused]] const ssize_t written = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

void ResetSignals() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signal, &action, nullptr);  // fails for SIGKILL, SIGSTOP and glibc's own: they need no reset
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Every source is first moved above all targets, so that no target overwrites a source that is still needed.
int ArrangeDescriptors(std::span<std::pair<int, int>> fds, int* report, int* program) noexcept {
  int above = 3;
  for (const auto& [from, to] : fds) above = to >= above ? to + 1 : above;
  for (auto& [from, to] : fds) {
    from = ::fcntl(from, F_DUPFD_CLOEXEC, above);
    if (from < 0) return errno;
  }
  *report = ::fcntl(*report, F_DUPFD_CLOEXEC, above);
  if (*report < 0) return errno;
  if (*program >= 0) {
    *program = ::fcntl(*program, F_DUPFD_CLOEXEC, above);
    if (*program < 0) return errno;
  }
  // What others opened without close-on-exec must not travel; dup2 makes the targets, and only them, do so.
  if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return errno;
  for (const auto& [from, to] : fds) {
    if (::dup2(from, to) < 0) return errno;
  }
  return 0;
}

}  // namespace

void RunSpawnedChild(const SpawnPlan& plan) noexcept {
  int report = plan.report;
  int program = plan.program;
  if (const int error = ArrangeDescriptors(plan.fds, &report, &program); error != 0) {
    Fail(report, SpawnStage::kDescriptors, error);
  }
  ResetSignals();
  if (plan.own_session && ::setsid() < 0) Fail(report, SpawnStage::kParent, errno);
  if (plan.directory != nullptr && ::chdir(plan.directory) != 0) Fail(report, SpawnStage::kDirectory, errno);
  if (plan.before_exec.run != nullptr) {
    if (const int error = plan.before_exec.run(plan.before_exec.context); error != 0) {
      Fail(report, SpawnStage::kBeforeExec, error);
    }
  }
  // After before_exec: a change of ids forgets the wish.
  if (plan.dies_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Fail(report, SpawnStage::kParent, errno);
    if (::getppid() != plan.parent) ::_exit(127);  // it died before we asked
  }
  if (program >= 0) {
    ::syscall(SYS_execveat, program, "", plan.argv, plan.env, AT_EMPTY_PATH);
  } else {
    ::execve(plan.path, plan.argv, plan.env);
  }
  Fail(report, SpawnStage::kExec, errno);
}

}  // namespace carrel
