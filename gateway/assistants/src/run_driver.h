// The executor's inside: the runs that are active, and how effects are carried out.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gateway/assistants/prompt.h"
#include "gateway/assistants/run_executor.h"
#include "work_pool.h"

namespace carrel::gateway {

// One active run. Everything but the ids is guarded by `mutex`.
struct RunTask {
  explicit RunTask(RunId run) : id(std::move(run)) {}

  const RunId id;
  ThreadId thread;  // set once, when it is registered
  std::mutex mutex;
  RunState state;
  std::shared_ptr<const PromptInputs> inputs;
  std::unique_ptr<ChatCall> chat;
  std::unique_ptr<CodeCall> code;
  int64_t prompt_tokens_estimate = 0;
  bool holds_worker = false;
  // Steps on their way into the storage, and the code that must not begin before they are there: a restart that does
  // not know of it would have it run twice.
  int keeping = 0;
  std::optional<RunCode> code_when_kept;
  // Something it did could not be stored: nothing it does any more counts.
  bool given_up = false;
  // How long until it is taken up again then.
  absl::Duration retake_after = absl::Seconds(1);
  WorkPool::TimerId expiry = 0;
};

// Done when what was emitted is stored.
struct Stored {
  absl::Notification done;
  absl::Status status;
};

// Lock order: a task's mutex, then the driver's. Calls of the model and the interpreter are destroyed by workers, as
// that waits for their listeners, which want the task's mutex.
class RunDriver final : public std::enable_shared_from_this<RunDriver> {
 public:
  RunDriver(ExecutorPorts ports, ExecutorOptions options);

  void Stop();

  // Makes a task findable.
  void Register(const std::shared_ptr<RunTask>& task, const ThreadId& thread);
  void Forget(const RunTask& task);
  std::shared_ptr<RunTask> Find(const RunId& run);
  std::vector<std::shared_ptr<RunTask>> FindByThread(const ThreadId& thread);
  bool HasRoomToQueue();

  // With the task's mutex held: the state is set, what has to be done first is done.
  void BeginLocked(const std::shared_ptr<RunTask>& task, Restored restored);
  // With the task's mutex held: one input and all that follows from it. Returns the events that were emitted.
  std::vector<RunEvent> FeedLocked(const std::shared_ptr<RunTask>& task, Input input,
                                   const std::shared_ptr<Stored>& stored = nullptr);
  void Feed(const std::shared_ptr<RunTask>& task, Input input);
  // Ends a task without a trace in the storage; its streams end with `why`.
  void Abandon(const std::shared_ptr<RunTask>& task, const std::string& why);
  // Takes up a run as it is stored: after a restart, or when what it did could not be stored.
  [[nodiscard]] absl::Status TakeUp(const Run& run, absl::Duration retake_after);

  ExecutorPorts& ports() { return ports_; }
  const ExecutorOptions& options() const { return options_; }
  WorkPool& pool() { return pool_; }
  Moment Now() { return {.now = ports_.backing.clock.Now(), .ids = &ports_.backing.ids}; }

 private:
  class ModelListener;
  class CodeOutputListener;

  void Carry(const std::shared_ptr<RunTask>& task, std::vector<Effect> effects, const std::shared_ptr<Stored>& stored,
             std::vector<RunEvent>& emitted);
  void Do(const std::shared_ptr<RunTask>& task, Emit effect, const std::shared_ptr<Stored>& stored);
  void Do(const std::shared_ptr<RunTask>& task, KeepStep effect);
  void Do(const std::shared_ptr<RunTask>& task, AskModel effect);
  void Do(const std::shared_ptr<RunTask>& task, RunCode effect);
  void Do(const std::shared_ptr<RunTask>& task, RunSearch effect);
  void StopCalls(RunTask& task);
  void WantWorkerFor(const std::shared_ptr<RunTask>& task);
  void ReleaseWorkerOf(RunTask& task);
  void Dispatch();
  void GiveWorkerTo(const std::shared_ptr<RunTask>& task);
  void PrepareInputs(const std::shared_ptr<RunTask>& task, absl::Time deadline, absl::Duration pause);
  void KeepOutputs(const std::shared_ptr<RunTask>& task, uint64_t op, std::size_t call, CodeResult result);
  void OnKept(const std::shared_ptr<RunTask>& task, const absl::Status& status);
  void OnNotStored(const std::shared_ptr<RunTask>& task);
  void TakeUpLater(const Run& run, absl::Duration pause);
  int64_t WindowOf(const std::string& model) const;

  ExecutorPorts ports_;
  const ExecutorOptions options_;
  std::mutex mutex_;
  std::map<RunId, std::shared_ptr<RunTask>> tasks_;
  std::deque<std::weak_ptr<RunTask>> waiting_;
  std::size_t in_flight_ = 0;
  bool stopping_ = false;
  WorkPool pool_;
};

}  // namespace carrel::gateway
