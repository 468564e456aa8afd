#include "sandbox/base/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "sandbox/base/error.h"

namespace carrel {
namespace {

// Token in the high half, descriptor in the low.
uint64_t Pack(uint64_t token, int fd) { return token << 32 | static_cast<uint32_t>(fd); }

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return ErrnoStatus(errno, "epoll_create1");
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll)));
}

absl::Status EventLoop::Watch(int fd, Callback callback) {
  const uint64_t token = next_token_++ & 0x7fffffff;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = Pack(token, fd);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return ErrnoStatus(errno, "epoll_ctl");
  watched_[fd] = Watched{token, std::make_shared<Callback>(std::move(callback))};
  return absl::OkStatus();
}

void EventLoop::WatchWritable(int fd, bool writable) {
  const auto at = watched_.find(fd);
  if (at == watched_.end()) return;
  epoll_event event{};
  event.events = EPOLLIN | (writable ? EPOLLOUT : 0U);
  event.data.u64 = Pack(at->second.token, fd);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::Forget(int fd) {
  if (watched_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

absl::Status EventLoop::RunOnce(absl::Duration timeout) {
  int millis = -1;
  if (timeout != absl::InfiniteDuration()) {
    const int64_t wanted = absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1)));
    millis = static_cast<int>(std::clamp<int64_t>(wanted, 0, 1'000'000'000));
  }
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), millis);
  if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
  for (int i = 0; i < count; ++i) {
    const uint64_t packed = events[static_cast<size_t>(i)].data.u64;
    const auto at = watched_.find(static_cast<int>(packed & 0xffffffff));
    if (at == watched_.end() || at->second.token != packed >> 32) continue;  // forgotten by an earlier one
    const std::shared_ptr<Callback> callback = at->second.callback;          // may forget itself
    (*callback)();
  }
  return absl::OkStatus();
}

}  // namespace carrel
