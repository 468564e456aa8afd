// A few threads for what blocks, and a clock that starts such work later. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace carrel::gateway {

class WorkPool final {
 public:
  using Work = absl::AnyInvocable<void()>;
  using TimerId = uint64_t;

  explicit WorkPool(int threads);
  ~WorkPool();

  void Post(Work work);
  // Zero is no timer.
  TimerId PostAfter(absl::Duration delay, Work work);
  // Nothing happens when it has begun, or was cancelled.
  void CancelTimer(TimerId id);
  // Does what was posted, forgets the timers, and ends the threads. What is posted later is done by the caller.
  void Stop();

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  std::map<std::pair<absl::Time, TimerId>, Work> timers_;
  std::map<TimerId, absl::Time> due_;
  TimerId next_timer_ = 1;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace carrel::gateway
