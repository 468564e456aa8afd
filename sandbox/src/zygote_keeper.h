// Keeps one zygote per policy of kind zygote alive.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "sandbox/base/event_loop.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/enter.h"
#include "sandbox/policy.h"
#include "sandbox/zygote_protocol.h"

namespace carrel::sandbox {

class ZygoteKeeper final {
 public:
  struct Events {
    std::function<void(uint32_t policy)> ready;
    // FORKED (with its pidfd), FAILED or EXITED.
    std::function<void(const ZygoteMessage&, UniqueFd pidfd)> message;
    // It ended and will be started again after a while, or (given_up) not.
    std::function<void(uint32_t policy, bool given_up)> lost;
    // Sends START_ZYGOTE with the zygote's end of the socket.
    std::function<absl::Status(uint32_t policy, int socket)> start;
  };

  ZygoteKeeper(EventLoop* loop, const std::vector<Policy>& policies, const std::vector<EnterPlan>& plans,
               Events events);
  ZygoteKeeper(const ZygoteKeeper&) = delete;
  ZygoteKeeper& operator=(const ZygoteKeeper&) = delete;
  ~ZygoteKeeper();

  // Starts all of them, and later again those whose time has come.
  [[nodiscard]] absl::Status StartDue(absl::Time now);
  void OnStarted(uint32_t policy, UniqueFd pidfd);
  void OnStartFailed(uint32_t policy, const std::string& why);
  // Forks can be ordered. false for a policy that needs none.
  [[nodiscard]] bool ready(uint32_t policy) const { return zygotes_[policy].state == State::kReady; }
  // Not empty: it failed too often, and why.
  [[nodiscard]] const std::string& given_up(uint32_t policy) const { return zygotes_[policy].given_up; }
  [[nodiscard]] absl::Status Fork(uint32_t policy, const ZygoteMessage& order, std::span<const int> fds);

 private:
  enum class State : uint8_t { kNone, kDown, kStarting, kReady };
  struct Zygote {
    State state = State::kNone;
    UniqueFd socket;
    UniqueFd pidfd;
    absl::Time start_at = absl::InfinitePast();
    int failures = 0;  // in a row, without having been ready
    std::string given_up;
  };
  void Receive(uint32_t policy);
  void Lose(uint32_t policy, const std::string& why);

  EventLoop* loop_;
  const std::vector<Policy>& policies_;
  const std::vector<EnterPlan>& plans_;
  Events events_;
  std::vector<Zygote> zygotes_;
};

}  // namespace carrel::sandbox
