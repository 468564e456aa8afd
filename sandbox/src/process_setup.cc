#include "process_setup.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace carrel::sandbox {

int KeepOnlyDescriptors(std::vector<UniqueFd>* fds, int first) {
  const int end = first + static_cast<int>(fds->size());
  std::vector<int> moved;
  for (const UniqueFd& fd : *fds) {
    moved.push_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, end));
    if (moved.back() < 0) return errno;
  }
  for (UniqueFd& fd : *fds) (void)fd.release();  // close_range takes the old ones
  for (size_t i = 0; i < moved.size(); ++i) {
    if (::dup3(moved[i], first + static_cast<int>(i), O_CLOEXEC) < 0) return errno;
    (*fds)[i].reset(first + static_cast<int>(i));
  }
  if (first > 3 && ::syscall(SYS_close_range, 3U, static_cast<unsigned>(first - 1), 0) != 0) return errno;
  return ::syscall(SYS_close_range, static_cast<unsigned>(end), ~0U, 0) == 0 ? 0 : errno;
}

void ResetSignals() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

UniqueFd WatchChildren() {
  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  if (::sigprocmask(SIG_BLOCK, &children, nullptr) != 0) return {};
  return UniqueFd(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace carrel::sandbox
