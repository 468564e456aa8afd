// Descriptors, asked or told something without waiting.
#pragma once

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "sandbox/base/unique_fd.h"

namespace carrel::sandbox {

inline void SendSignal(const UniqueFd& pidfd, int signal) {
  // ESRCH: it ended on its own.
  if (pidfd) ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

[[nodiscard]] inline bool IsReadable(int fd) {
  pollfd polled{.fd = fd, .events = POLLIN, .revents = 0};  // a negative one is passed over
  return ::poll(&polled, 1, 0) > 0;
}

[[nodiscard]] inline bool IsWritable(int fd) {
  pollfd polled{.fd = fd, .events = POLLOUT, .revents = 0};
  return ::poll(&polled, 1, 0) > 0;
}

[[nodiscard]] inline std::vector<int> Numbers(const std::vector<UniqueFd>& fds) {
  std::vector<int> numbers;
  numbers.reserve(fds.size());
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

}  // namespace carrel::sandbox
