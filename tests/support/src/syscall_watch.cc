#include "support/syscall_watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <string>
#include <utility>

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
    : SyscallWatch(root, Whom::kJailed, [on_call = std::move(on_call)](int number, const auto& arguments) {
        on_call(number, arguments);
        return 0;
      }) {}

SyscallWatch::SyscallWatch(pid_t root, Whom whom, Decide decide)
    : root_(root), whom_(whom), decide_(std::move(decide)) {
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  ::sigaction(SIGURG, &nothing, nullptr);  // without SA_RESTART
  thread_ = std::thread([this] {
    Follow();
    done_ = true;
  });
}

SyscallWatch::~SyscallWatch() {
  stop_ = true;
  // It waits for those that it follows; a signal that does nothing wakes it, unless it came a moment too early.
  while (!done_) {
    ::pthread_kill(thread_.native_handle(), SIGURG);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
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
    const pid_t thread = ::waitpid(-1, &status, __WALL | __WNOTHREAD);
    if (thread < 0 && errno != EINTR) return;
    if (thread < 0) continue;
    Handle(thread, status);
    attached_ = 1;
  }
}

void SyscallWatch::OnEntry(pid_t thread, Thread* known, int number, const std::array<uint64_t, 6>& arguments) {
  known->error = decide_(number, arguments);
  if (known->error == 0) return;
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, thread, nullptr, &registers) != 0) return;
  registers.orig_rax = ~0ULL;  // no such call: nothing happens
  (void)::ptrace(PTRACE_SETREGS, thread, nullptr, &registers);
}

void SyscallWatch::Handle(pid_t thread, int status) {
  if (!WIFSTOPPED(status)) {
    threads_.erase(thread);
    return;
  }
  const auto [entry, is_new] = threads_.try_emplace(thread);
  Thread& known = entry->second;
  if (is_new) known.filtered = HasFilter(thread);
  const int signal = WSTOPSIG(status);
  const int event = status >> 16;
  long deliver = 0;
  if (signal == (SIGTRAP | 0x80)) {
    __ptrace_syscall_info info{};
    const bool read = ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) > 0;
    if (read && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      if (known.filtered || whom_ == Whom::kAll) {
        std::array<uint64_t, 6> arguments{};
        for (size_t i = 0; i < arguments.size(); ++i) arguments[i] = info.entry.args[i];
        OnEntry(thread, &known, static_cast<int>(info.entry.nr), arguments);
      }
    } else if (known.error != 0) {
      user_regs_struct registers{};
      if (::ptrace(PTRACE_GETREGS, thread, nullptr, &registers) == 0) {
        registers.rax = static_cast<uint64_t>(-static_cast<int64_t>(known.error));
        (void)::ptrace(PTRACE_SETREGS, thread, nullptr, &registers);
      }
      known.error = 0;
    } else if (!known.filtered) {
      known.filtered = HasFilter(thread);
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
