// The events of runs in memory: what subscribers read, in order, bounded. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gateway/ports/run_log.h"

namespace carrel::gateway {

class RunChannel {
 public:
  explicit RunChannel(uint64_t next_sequence) : next_(next_sequence) {}

  // Numbers the events and takes their place in the order. They are shown when every earlier batch is, and either
  // `at_once` or Settle was called with the returned ticket.
  uint64_t Enqueue(std::vector<RunEvent>& events, bool at_once);
  // The batch is durable (its events are shown), or it is not (they are dropped).
  void Settle(uint64_t ticket, bool durable);

  uint64_t next_sequence() const;
  // When something was last said in it.
  absl::Time touched() const;
  // As RunSubscription's, from `next` on, which is moved.
  absl::StatusOr<std::vector<RunEvent>> Take(uint64_t& next, size_t count);
  absl::StatusOr<std::vector<RunEvent>> Wait(uint64_t& next, size_t count, absl::Time deadline);
  // `id` names the waiter, for Forget.
  void NotifyWhenReady(uint64_t next, const void* id, absl::AnyInvocable<void()> ready);
  // When it returns, the waiter's function does not run and will not.
  void Forget(const void* id);

 private:
  struct Batch {
    uint64_t ticket;
    bool shown_when_reached;
    std::vector<RunEvent> events;
  };

  bool HasFrom(uint64_t next) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<RunEvent>> TakeLocked(uint64_t& next, size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Shows what may be shown; returns the waiters to call.
  void Show() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::Time touched_ ABSL_GUARDED_BY(mutex_);
  std::deque<Batch> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<RunEvent> events_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t lost_before_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_map<const void*, absl::AnyInvocable<void()>> waiters_ ABSL_GUARDED_BY(mutex_);
};

// The channels of the runs that live, and of those that ended a moment ago.
class RunChannels {
 public:
  // `first` tells where the numbers of a run begin that has no channel yet.
  explicit RunChannels(std::function<uint64_t(const RunId&)> first) : first_(std::move(first)) {}

  std::shared_ptr<RunChannel> Get(const RunId& run);
  // The run is over: the channel goes when nobody can want its events any more.
  void Retire(const RunId& run);

 private:
  std::function<uint64_t(const RunId&)> first_;
  absl::Mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<RunChannel>> channels_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<absl::Time, std::string>> retired_ ABSL_GUARDED_BY(mutex_);
};

std::unique_ptr<RunSubscription> MakeSubscription(std::shared_ptr<RunChannel> channel, uint64_t from);

}  // namespace carrel::gateway
