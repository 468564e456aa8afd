#include "rpc/signals.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "absl/time/clock.h"

namespace carrel::rpc {
namespace {

// What the handler can reach. Its descriptor stays open once made: a late signal must find one.
std::atomic<int> g_write_end{-1};
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(signal);
  // A full pipe holds thousands of signals that nobody has read: one more says nothing new.
  [[maybe_unused]] const ssize_t written = ::write(g_write_end.load(), &byte, 1);
  errno = saved;
}

int SetAction(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  return ::sigaction(signal, &action, nullptr);
}

}  // namespace

absl::StatusOr<ShutdownSignals> ShutdownSignals::Block() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  if (const int old = g_write_end.exchange(ends[1]); old >= 0) ::close(old);
  ShutdownSignals signals(ends[0]);
  for (const int signal : {SIGTERM, SIGINT}) {
    if (SetAction(signal, OnSignal) != 0) return absl::ErrnoToStatus(errno, "sigaction");
  }
  if (SetAction(SIGPIPE, SIG_IGN) != 0) return absl::ErrnoToStatus(errno, "sigaction");
  return signals;
}

ShutdownSignals::~ShutdownSignals() {
  if (fd_ < 0) return;
  for (const int signal : {SIGTERM, SIGINT}) SetAction(signal, SIG_DFL);
  ::close(fd_);
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
    unsigned char signal = 0;
    if (ready > 0 && ::read(fd_, &signal, 1) == 1) return signal;
    if (absl::Now() >= deadline) return 0;
  }
}

}  // namespace carrel::rpc
