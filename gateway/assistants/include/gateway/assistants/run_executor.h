// Carries runs out: the machine's driver. Thread-safe.
//
// A run holds no thread while its model or its tools are at work: what they say is fed to the machine on the thread on
// which they say it, under the run's own lock, and the effects are started there. Only what blocks (the repository,
// searches, files) is done by a few workers. At most runs_in_flight_max runs are with their model or tools at once; the
// others are queued in order. A run that waits for its client does not count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/assistants/run_machine.h"
#include "gateway/core/backing.h"
#include "gateway/core/stores.h"
#include "gateway/core/threads.h"
#include "gateway/ports/chat_model.h"
#include "gateway/ports/code_tool.h"
#include "gateway/ports/run_log.h"
#include "gateway/ports/runs.h"

namespace carrel::gateway {

struct ExecutorOptions {
  int workers = 8;
  std::size_t runs_in_flight_max = 512;
  // Runs that wait for their turn; beyond, creating one is refused as overloaded.
  std::size_t runs_queued_max = 10'000;
  // How long a run waits for the files of its thread to be searchable; then it starts without them.
  absl::Duration files_wait_max = absl::Seconds(60);
  // A run whose events could not be stored is taken up again, as after a restart, after this long; then twice as long
  // and so on, a minute at most.
  absl::Duration retake_after = absl::Seconds(1);
  // Of models that `windows` does not name.
  int64_t window_tokens = 128'000;
  std::map<std::string, int64_t> windows;
  MachineLimits machine;
};

// Borrowed; everything outlives the executor.
struct ExecutorPorts {
  Backing backing;
  RunLog& log;
  ChatModel& model;
  CodeTool& code;
  Threads& threads;
  Stores& stores;
};

class RunExecutor final : public Runs {
 public:
  RunExecutor(ExecutorPorts ports, ExecutorOptions options);
  // Stops what is at work. Runs that are not over stay as they are stored, for the next start.
  ~RunExecutor() override;
  RunExecutor(const RunExecutor&) = delete;
  RunExecutor& operator=(const RunExecutor&) = delete;

  // Takes up what an earlier process left. Once, before anything else.
  [[nodiscard]] absl::Status Recover();

  absl::StatusOr<RunStarted> Create(const ProjectId& project, const ThreadId& thread, NewRun request) override;
  absl::StatusOr<RunStarted> CreateWithThread(const ProjectId& project, NewThread thread, NewRun request) override;
  absl::StatusOr<Run> SetMetadata(const ProjectId& project, const ThreadId& thread, const RunId& run,
                                  Metadata metadata) override;
  absl::StatusOr<Run> Cancel(const ProjectId& project, const ThreadId& thread, const RunId& run) override;
  absl::StatusOr<RunStarted> SubmitToolOutputs(const ProjectId& project, const ThreadId& thread, const RunId& run,
                                               std::vector<ToolOutput> outputs) override;
  absl::Status Abandon(const ProjectId& project, const ThreadId& thread) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// The container of a thread's code.
[[nodiscard]] ContainerId ContainerOf(const ThreadId& thread);

}  // namespace carrel::gateway
