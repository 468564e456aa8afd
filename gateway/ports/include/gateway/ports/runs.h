// What a front asks of the run executor. Every call blocks until what it did is durable. Errors are those of
// types/error.h.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/types/ids.h"
#include "gateway/types/run.h"
#include "gateway/types/thread.h"
#include "gateway/types/tool.h"

namespace carrel::gateway {

// A run as it stands, and where a stream of what follows begins.
struct RunStarted {
  Run run;
  // Of the first event that belongs to the request's stream: thread.created for create-and-run, run.created for create,
  // step.completed (the step with the outputs) for submitted outputs.
  uint64_t first_event = 1;
};

// Thread-safe.
class Runs {
 public:
  virtual ~Runs() = default;

  // Adds the additional messages, then the run, queued; all or nothing.
  virtual absl::StatusOr<RunStarted> Create(const ProjectId& project, const ThreadId& thread, NewRun request) = 0;
  // The thread too, in the same transaction.
  virtual absl::StatusOr<RunStarted> CreateWithThread(const ProjectId& project, NewThread thread, NewRun request) = 0;
  virtual absl::StatusOr<Run> SetMetadata(const ProjectId& project, const ThreadId& thread, const RunId& run,
                                          Metadata metadata) = 0;
  // Returns the run as kCancelling (or kCancelled, where nothing had to be waited for).
  virtual absl::StatusOr<Run> Cancel(const ProjectId& project, const ThreadId& thread, const RunId& run) = 0;
  virtual absl::StatusOr<RunStarted> SubmitToolOutputs(const ProjectId& project, const ThreadId& thread,
                                                       const RunId& run, std::vector<ToolOutput> outputs) = 0;
  // The thread is about to be deleted: its runs end, without a trace in the repository, and its container is freed.
  // Blocks until none of them can write any more.
  virtual absl::Status Abandon(const ProjectId& project, const ThreadId& thread) = 0;
};

}  // namespace carrel::gateway
