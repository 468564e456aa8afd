// The one record of what happens in a run: polling, streams and recovery all read what is appended here.
//
// Every event but a delta is stored, with the object it carries, in one transaction. Events of one run reach
// subscribers in the order in which they were appended. Deltas are not stored: they live while the run does, bounded;
// whoever reads so slowly that what he has not read falls out of the bound is told so and must poll. A reader never
// blocks a run.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/types/ids.h"
#include "gateway/types/run.h"

namespace carrel::gateway {

// A place in a run's log. Thread-compatible; destroying it ends the subscription.
class RunSubscription {
 public:
  virtual ~RunSubscription() = default;
  // What has come, at most `count` events, oldest first; empty when nothing has.
  // DATA_LOSS: the reader was too slow and events are gone.
  virtual absl::StatusOr<std::vector<RunEvent>> Take(size_t count) = 0;
  // Calls `ready` once, soon, on an unspecified thread, when Take has something to give (or at once). At most one is
  // pending; a new one replaces it. `ready` must not block.
  virtual void NotifyWhenReady(absl::AnyInvocable<void()> ready) = 0;
  // As Take, waiting for the first event until `deadline`; empty when it passes.
  virtual absl::StatusOr<std::vector<RunEvent>> Wait(size_t count, absl::Time deadline) = 0;
};

// Thread-safe.
class RunLog {
 public:
  enum class Publish {
    kAtOnce,       // subscribers see the events before they are durable (soon): progress that a restart may undo
    kWhenDurable,  // what acknowledges something: requires_action and every final state
  };

  virtual ~RunLog() = default;

  // Stores and publishes events (deltas only publishes). `done` is called when they are durable, on the writer's
  // thread: it must not block. Appends of one run are applied in order, whatever their `publish`.
  virtual void Append(const RunId& run, std::vector<RunEvent> events, Publish publish,
                      absl::AnyInvocable<void(absl::Status)> done) = 0;

  // From sequence number `from` on (1: the first event). What is not in memory any more is skipped: the reader of a run
  // that ended before a restart gets nothing.
  virtual std::unique_ptr<RunSubscription> Subscribe(const RunId& run, uint64_t from) = 0;
  // The number that the next event of the run will get.
  virtual uint64_t NextSequence(const RunId& run) = 0;
};

}  // namespace carrel::gateway
