// SIGTERM and SIGINT as something to wait for.
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace carrel::rpc {

// Make it first thing in main(), before any thread: the signals are blocked in the calling thread and in every thread
// that it starts later, and are read from a descriptor. SIGPIPE is ignored. One per process; a child that is to be
// signalled must unblock them.
class ShutdownSignals final {
 public:
  [[nodiscard]] static absl::StatusOr<ShutdownSignals> Block();
  ShutdownSignals(ShutdownSignals&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ShutdownSignals& operator=(ShutdownSignals&&) = delete;
  ~ShutdownSignals();

  // The signal that came, or 0 after `timeout`.
  [[nodiscard]] int Wait(absl::Duration timeout = absl::InfiniteDuration());
  // Readable when one is pending; for poll(2).
  [[nodiscard]] int fd() const { return fd_; }

 private:
  explicit ShutdownSignals(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace carrel::rpc
