// Keeps one zygote per policy of kind zygote alive, ends one that lives and does not answer, and lets another take its
// place when it has forked enough or when the runtime's files have changed: the successor is started beside it, and
// forks from when it is ready.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
    // Forks can be ordered from now on, or a successor has taken over.
    std::function<void(uint32_t policy)> ready;
    // FORKED (with its pidfd), FAILED or EXITED.
    std::function<void(const ZygoteMessage&, UniqueFd pidfd)> message;
    // The zygote ended, with forks unanswered perhaps; there is another, will be one after a while, or (given_up) not.
    std::function<void(uint32_t policy, uint64_t zygote, bool given_up)> lost;
    // Sends START_ZYGOTE with the zygote's number and its end of the socket.
    std::function<absl::Status(uint32_t policy, uint64_t zygote, int socket)> start;
  };

  // `forks_max`: 0 is any number.
  ZygoteKeeper(EventLoop* loop, const std::vector<Policy>& policies, const std::vector<EnterPlan>& plans,
               uint64_t forks_max, Events events);
  ZygoteKeeper(const ZygoteKeeper&) = delete;
  ZygoteKeeper& operator=(const ZygoteKeeper&) = delete;
  ~ZygoteKeeper();

  // Starts all of them, and later again those whose time has come; looks for runtimes that have changed. What cannot be
  // started now (no descriptor, no memory) is said in the log and tried again.
  void StartDue(absl::Time now);
  // Kills who has not answered an order to fork, or has not become ready, for too long; that it is lost is said as
  // ever.
  void EndHung(absl::Time now);
  // The clock made a leap: everybody's time begins anew.
  void ForgiveLeap(absl::Time now);
  void OnStarted(uint32_t policy, uint64_t zygote, UniqueFd pidfd);
  void OnStartFailed(uint32_t policy, uint64_t zygote, const std::string& why);
  // Forks can be ordered. false for a policy that needs none.
  [[nodiscard]] bool ready(uint32_t policy) const { return slots_[policy].current != nullptr; }
  // One is starting, or has to start again.
  [[nodiscard]] bool starting() const {
    return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
      return slot.wanted && slot.given_up.empty() && (slot.current == nullptr || slot.coming != nullptr);
    });
  }
  // Not empty: it failed too often, and why.
  [[nodiscard]] const std::string& given_up(uint32_t policy) const { return slots_[policy].given_up; }
  // How often the runtime has changed since we started.
  [[nodiscard]] uint32_t generation(uint32_t policy) const { return slots_[policy].generation; }
  // Gives the number of the zygote that got the order.
  [[nodiscard]] absl::StatusOr<uint64_t> Fork(uint32_t policy, const ZygoteMessage& order, std::span<const int> fds);

 private:
  struct Process {
    uint64_t number = 0;
    UniqueFd socket;
    UniqueFd pidfd;
    std::string fingerprint;  // of the runtime, as it was when this one was started
    uint64_t forks = 0;
    absl::Time started;
    std::map<uint64_t, absl::Time> unanswered;    // orders to fork, by session, and since when
    absl::Time kill_at = absl::InfiniteFuture();  // of one that has been replaced
  };
  struct Slot {
    bool wanted = false;               // the policy has a zygote
    std::unique_ptr<Process> current;  // ready
    std::unique_ptr<Process> coming;   // not ready yet
    std::list<Process> retired;        // asked to end, once they have answered
    absl::Time start_at = absl::InfinitePast();
    absl::Time look_at = absl::InfinitePast();  // for a change of the runtime
    int failures = 0;                           // in a row, without having been ready
    std::string given_up;
    uint32_t generation = 0;
    bool replace = false;  // the current one has had its time
  };
  [[nodiscard]] absl::Status Start(uint32_t policy);
  void LookForChange(uint32_t policy, absl::Time now);
  void KillOverdue(Slot* slot, absl::Time now);
  [[nodiscard]] Process* Find(uint32_t policy, uint64_t zygote);
  void Receive(uint32_t policy, uint64_t zygote);
  void TakeOver(uint32_t policy);
  void Lose(uint32_t policy, uint64_t zygote, const std::string& why);
  void Drop(Process* process);

  EventLoop* loop_;
  const std::vector<Policy>& policies_;
  const std::vector<EnterPlan>& plans_;
  const uint64_t forks_max_;
  Events events_;
  std::vector<Slot> slots_;
  uint64_t last_number_ = 0;
};

}  // namespace carrel::sandbox
