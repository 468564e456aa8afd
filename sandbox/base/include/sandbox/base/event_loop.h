// One thread waiting for many descriptors.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sandbox/base/unique_fd.h"

namespace carrel {

// Calls a function when its descriptor is readable or its other side is gone. Level-triggered. A function may watch and
// forget any descriptor, its own included. Not thread-safe.
class EventLoop final {
 public:
  using Callback = std::function<void()>;

  [[nodiscard]] static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() = default;

  // The descriptor stays the caller's, who must Forget it before closing it.
  [[nodiscard]] absl::Status Watch(int fd, Callback callback);
  // Also calls it while the descriptor can be written, or no longer.
  void WatchWritable(int fd, bool writable);
  void Forget(int fd);
  // Waits at most `timeout` and calls what is due.
  [[nodiscard]] absl::Status RunOnce(absl::Duration timeout);

 private:
  explicit EventLoop(UniqueFd epoll) : epoll_(std::move(epoll)) {}

  struct Watched {
    uint64_t token = 0;  // tells a new watch of a reused number from the old one
    std::shared_ptr<Callback> callback;
  };
  UniqueFd epoll_;
  uint64_t next_token_ = 1;
  std::unordered_map<int, Watched> watched_;
};

}  // namespace carrel
