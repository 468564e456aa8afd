#include "sandbox/base/log_line.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace carrel {
namespace {

// No more than what a pipe takes whole or not at all (PIPE_BUF).
constexpr size_t kLineBytesMax = 4096;

// Descriptor 2 again, with flags of its own: O_NONBLOCK on the one that is inherited would be everybody's who shares
// it. -1: it is no pipe, or may not be opened.
int OwnEnd() {
  struct stat facts {};
  if (::fstat(STDERR_FILENO, &facts) != 0 || !S_ISFIFO(facts.st_mode)) return -1;
  return ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

}  // namespace

void LogLineWithoutWaiting(std::string_view line) noexcept {
  std::array<char, kLineBytesMax> bytes;  // not initialised: only what is copied is written
  const size_t length = line.size() < bytes.size() ? line.size() : bytes.size() - 1;
  std::memcpy(bytes.data(), line.data(), length);
  bytes[length] = '\n';
  // A socket (journald's) takes the flag with the message.
  if (::send(STDERR_FILENO, bytes.data(), length + 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != ENOTSOCK) return;
  const int own = OwnEnd();
  // Else a file or a terminal, or somebody else's pipe: what poll says can be out of date by another's line only.
  pollfd polled{.fd = own >= 0 ? own : STDERR_FILENO, .events = POLLOUT, .revents = 0};
  const bool takes = ::poll(&polled, 1, 0) > 0 && (polled.revents & POLLOUT) != 0;
  if (takes) {
    [[maybe_unused]] const ssize_t written = ::write(polled.fd, bytes.data(), length + 1);
  }
  if (own >= 0) ::close(own);
}

}  // namespace carrel
