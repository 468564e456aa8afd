#include "rpc/signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"

namespace carrel::rpc {

absl::StatusOr<ShutdownSignals> ShutdownSignals::Block() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return absl::ErrnoToStatus(error, "pthread_sigmask");
  }
  ::signal(SIGPIPE, SIG_IGN);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, "signalfd");
  return ShutdownSignals(fd);
}

ShutdownSignals::~ShutdownSignals() {
  if (fd_ >= 0) ::close(fd_);
}

int ShutdownSignals::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    int wait_ms = -1;
    if (deadline != absl::InfiniteFuture()) {
      const int64_t left = absl::ToInt64Milliseconds(absl::Ceil(deadline - absl::Now(), absl::Milliseconds(1)));
      wait_ms = static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
    }
    pollfd item{.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&item, 1, wait_ms);
    if (ready < 0 && errno != EINTR) return SIGTERM;  // Cannot wait: better end than run without an ear.
    signalfd_siginfo info;
    if (ready > 0 && ::read(fd_, &info, sizeof(info)) == sizeof(info)) return static_cast<int>(info.ssi_signo);
    if (absl::Now() >= deadline) return 0;
  }
}

}  // namespace carrel::rpc
