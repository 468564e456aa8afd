// Who may have a session now, who waits, and who is refused.
//
// Room is a number of sessions and the memory that their limits promise, which may be more than there is: a session
// seldom uses its limit, and holds its room while it is idle. Each is held to its own limit whatever is promised; when
// all together do use more than there is, the kernel ends jailed processes before any other (oom_score_adj 1000).
//
// Who finds no room waits, for at most `wait_max`,
// in a queue of at most `waiting_max`. When room comes free, the waiting owner who holds least gets it; among equals
// who came first. When the queue is full, the newcomer takes the place of the youngest waiter of the owner who has most
// of them waiting, unless that is himself. So an owner who asks for everything delays nobody but himself by more than
// what it takes for one session to end.
//
// Thread-safety: every method may be called from any thread. An Admission outlives its rooms.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace carrel::interpreter {

struct AdmissionOptions {
  uint64_t sessions_max = 64;
  uint64_t sessions_per_owner_max = 32;
  // The memory that there is for all sessions together, and the most that one may be promised.
  uint64_t memory_bytes_total_max = 0;
  // Per cent of it that all sessions together may be promised. 100: no more than there is.
  uint64_t memory_overcommit_percent = 100;
  uint64_t waiting_max = 64;
  // 0: nobody waits.
  absl::Duration wait_max = absl::ZeroDuration();
};

class Admission final {
 public:
  explicit Admission(const AdmissionOptions& options) : options_(options) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  ~Admission() = default;

  // What one session takes. Given back when it is destroyed.
  class [[nodiscard]] Room final {
   public:
    Room() = default;
    Room(Room&& other) noexcept
        : admission_(std::exchange(other.admission_, nullptr)),
          owner_(std::move(other.owner_)),
          memory_bytes_(other.memory_bytes_) {}
    Room& operator=(Room&& other) noexcept {
      if (this != &other) {
        Leave();
        admission_ = std::exchange(other.admission_, nullptr);
        owner_ = std::move(other.owner_);
        memory_bytes_ = other.memory_bytes_;
      }
      return *this;
    }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    ~Room() { Leave(); }

   private:
    friend class Admission;
    Room(Admission* admission, std::string owner, uint64_t memory_bytes)
        : admission_(admission), owner_(std::move(owner)), memory_bytes_(memory_bytes) {}
    void Leave();
    Admission* admission_ = nullptr;
    std::string owner_;
    uint64_t memory_bytes_ = 0;
  };

  // INVALID_ARGUMENT: more memory than there is for all; no time will mend that. RESOURCE_EXHAUSTED (see errors.h: with
  // the time after which to try again): no room came free, or the queue is full. CANCELLED: `cancelled` said so while
  // it waited (asked every few milliseconds). UNAVAILABLE: Stop was called.
  [[nodiscard]] absl::StatusOr<Room> Enter(const std::string& owner, uint64_t memory_bytes,
                                           const std::function<bool()>& cancelled = {});
  // Nobody gets in any more; who waits is told.
  void Stop();

  [[nodiscard]] uint64_t waiting();

 private:
  struct Waiter {
    const std::string* owner = nullptr;
    uint64_t memory_bytes = 0;
    absl::Time arrived;
    enum class Fate : uint8_t { kWaits, kEntered, kPushedOut } fate = Fate::kWaits;
  };
  // All with mutex_ held.
  [[nodiscard]] bool Fits(const Waiter& waiter) const;
  [[nodiscard]] std::string WhyNot(const Waiter& waiter) const;
  [[nodiscard]] uint64_t PromisedMax() const;
  [[nodiscard]] uint64_t HeldBy(const std::string& owner) const;
  // Lets in who fits now. To be called whenever room was given back, and when one who may have kept it for himself has
  // gone.
  void Grant();
  // The newcomer waits already. false: nobody has more waiting than he.
  [[nodiscard]] bool PushOutFor(const Waiter& newcomer);
  [[nodiscard]] absl::Duration RetryAfter() const;
  void Leave(const std::string& owner, uint64_t memory_bytes);

  const AdmissionOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  uint64_t sessions_ = 0;
  uint64_t memory_bytes_ = 0;
  std::map<std::string, uint64_t> held_;  // sessions of each owner that has any
  std::list<Waiter*> waiters_;            // as they came
  absl::Time last_left_ = absl::InfinitePast();
  absl::Duration between_leaves_ = absl::ZeroDuration();  // smoothed; 0: not known
};

}  // namespace carrel::interpreter
