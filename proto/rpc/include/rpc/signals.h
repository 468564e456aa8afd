// SIGTERM and SIGINT as something to wait for.
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace carrel::rpc {

// Make it early in main(). The signals are caught by a handler that writes to a pipe, not blocked for a signalfd:
// numeric libraries start threads before main(), in which they would not be blocked, and one such thread is enough to
// die of SIGTERM. SIGPIPE is ignored. One at a time per process; destroying it gives the signals their default action
// back.
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
