#include "support/syscall_watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace carrel::testing {
namespace {

constexpr long kOptions =
    PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;

bool HasFilter(pid_t thread) {
  std::ifstream status(absl::StrCat("/proc/", thread, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Seccomp:")) return line.find('2') != std::string::npos;
  }
  return false;
}

}  // namespace

SyscallWatch::SyscallWatch(pid_t root, OnCall on_call)
    : root_(root), on_call_(std::move(on_call)), thread_([this] { Follow(); }) {}

SyscallWatch::~SyscallWatch() {
  stop_ = true;
  thread_.join();  // the kernel lets go of what a thread traces when that ends
}

absl::Status SyscallWatch::WaitUntilAttached() {
  while (attached_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return attached_ > 0 ? absl::OkStatus() : absl::InternalError(absl::StrCat("ptrace: ", ::strerror(-attached_)));
}

void SyscallWatch::Follow() {
  if (::ptrace(PTRACE_SEIZE, root_, nullptr, kOptions) != 0 || ::ptrace(PTRACE_INTERRUPT, root_, nullptr, 0) != 0) {
    attached_ = -errno;
    return;
  }
  while (!stop_) {
    int status = 0;
    // Of this thread's own tracees only: the children of the test are not ours to reap.
    const pid_t thread = ::waitpid(-1, &status, __WALL | __WNOTHREAD | WNOHANG);
    if (thread > 0) {
      Handle(thread, status);
      attached_ = 1;
      continue;
    }
    if (thread < 0 && errno != EINTR) return;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void SyscallWatch::Handle(pid_t thread, int status) {
  if (!WIFSTOPPED(status)) {
    filtered_.erase(thread);
    return;
  }
  const auto [known, is_new] = filtered_.try_emplace(thread, false);
  if (is_new) known->second = HasFilter(thread);
  const int signal = WSTOPSIG(status);
  const int event = status >> 16;
  long deliver = 0;
  if (signal == (SIGTRAP | 0x80)) {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      if (known->second) {
        std::array<uint64_t, 6> arguments{};
        for (size_t i = 0; i < arguments.size(); ++i) arguments[i] = info.entry.args[i];
        on_call_(static_cast<int>(info.entry.nr), arguments);
      }
    } else if (!known->second) {
      known->second = HasFilter(thread);
    }
  } else if (event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN)) {
    (void)::ptrace(PTRACE_LISTEN, thread, nullptr, 0);
    return;
  } else if (event == 0) {
    deliver = signal;
  }
  (void)::ptrace(PTRACE_SYSCALL, thread, nullptr, deliver);  // it may have been killed meanwhile
}

}  // namespace carrel::testing
