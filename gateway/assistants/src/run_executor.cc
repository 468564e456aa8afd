#include "gateway/assistants/run_executor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"
#include "new_run.h"
#include "run_driver.h"

namespace carrel::gateway {
namespace {

// It is being taken up again, because what it did could not be stored.
absl::Status NotAtWork() { return absl::UnavailableError("the run is not being carried out at the moment; try again"); }

absl::Status CheckThereIsAQuestion(const Snapshot& s, const Thread& thread, const Run& run) {
  if (!run.instructions.empty()) return absl::OkStatus();
  // The newest message is nearly always the user's.
  PageRequest page{.limit = 20};
  for (;;) {
    GATEWAY_ASSIGN_OR_RETURN(const Page<Message> got, s.ListMessages(thread.project, thread.id, {}, page));
    for (const Message& message : got.items) {
      if (message.role == Role::kUser) return absl::OkStatus();
    }
    if (!got.has_more || got.items.empty()) return MakeError(ErrorKind::kEmptyThread, "", {});
    page.after = got.items.back().id.value;
  }
}

}  // namespace

ContainerId ContainerOf(const ThreadId& thread) {
  return ContainerId(absl::StrCat("cntr_", thread.value.substr(thread.value.find('_') + 1)));
}

class RunExecutor::Impl final {
 public:
  Impl(ExecutorPorts ports, ExecutorOptions options)
      : driver(std::make_shared<RunDriver>(ports, std::move(options))), ports_(ports) {}

  // Makes a run in a thread that `find_thread` finds or makes, within the transaction.
  template <class FindThread>
  absl::StatusOr<RunStarted> Start(const ProjectId& project, const NewRun& request, bool thread_is_new,
                                   const FindThread& find_thread);

  // As it is once all that was asked to be written before is: the end of a run that nobody carries out any more.
  absl::StatusOr<Run> ReadSettled(const ProjectId& project, const ThreadId& thread, const RunId& run);

  const std::shared_ptr<RunDriver> driver;

 private:
  ExecutorPorts ports_;
};

template <class FindThread>
absl::StatusOr<RunStarted> RunExecutor::Impl::Start(const ProjectId& project, const NewRun& request, bool thread_is_new,
                                                    const FindThread& find_thread) {
  if (!driver->HasRoomToQueue()) {
    return MakeError(ErrorKind::kOverloaded, "", {"Too many runs are waiting. Try again later."});
  }
  const RunId id = ports_.backing.ids.NewRun();
  const auto task = std::make_shared<RunTask>(id);
  task->retake_after = driver->options().retake_after;
  // Until the run is begun: whoever finds it as soon as it is stored waits here.
  const std::lock_guard lock(task->mutex);
  Run run;
  Thread thread;
  const absl::Status written = ports_.backing.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(thread, find_thread(t));
    GATEWAY_ASSIGN_OR_RETURN(const std::optional<Run> active, t.ActiveRun(project, thread.id));
    if (active.has_value()) {
      return MakeError(ErrorKind::kThreadHasActiveRun, "", {thread.id.value, active->id.value});
    }
    GATEWAY_ASSIGN_OR_RETURN(const Assistant assistant, t.GetAssistant(project, request.assistant_id));
    run = MakeRun(assistant, request, ports_.backing.clock.Now());
    run.id = id;
    run.thread_id = thread.id;
    if (request.tool_resources.has_value()) {
      GATEWAY_RETURN_IF_ERROR(CheckResources(t, project, *request.tool_resources));
    }
    for (std::size_t i = 0; i < request.additional_messages.size(); ++i) {
      GATEWAY_RETURN_IF_ERROR(
          ports_.threads
              .AddMessageIn(t, thread, request.additional_messages[i], absl::StrCat("additional_messages[", i, "]"))
              .status());
    }
    GATEWAY_RETURN_IF_ERROR(CheckThereIsAQuestion(t, thread, run));
    std::vector<RunEvent> events;
    if (thread_is_new) events.push_back({.kind = RunEventKind::kThreadCreated, .payload = thread});
    events.push_back({.kind = RunEventKind::kRunCreated, .payload = run});
    events.push_back({.kind = RunEventKind::kRunQueued, .payload = run});
    driver->Register(task, thread.id);
    return t.Append(id, std::move(events));
  });
  if (!written.ok()) {
    driver->Forget(*task);
    return written;
  }
  ports_.stores.Kick();
  driver->BeginLocked(task, Restore(run, {}, {}, driver->Now()));
  return RunStarted{.run = std::move(run), .first_event = 1};
}

absl::StatusOr<Run> RunExecutor::Impl::ReadSettled(const ProjectId& project, const ThreadId& thread, const RunId& run) {
  Run found;
  GATEWAY_RETURN_IF_ERROR(ports_.backing.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(found, t.GetRun(project, thread, run));
    return absl::OkStatus();
  }));
  return found;
}

RunExecutor::RunExecutor(ExecutorPorts ports, ExecutorOptions options)
    : impl_(std::make_shared<Impl>(ports, std::move(options))) {}

RunExecutor::~RunExecutor() { impl_->driver->Stop(); }

absl::Status RunExecutor::Recover() {
  RunDriver& driver = *impl_->driver;
  std::vector<Run> runs;
  GATEWAY_RETURN_IF_ERROR(driver.ports().backing.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(runs, s.AllActiveRuns());
    return absl::OkStatus();
  }));
  for (const Run& run : runs) GATEWAY_RETURN_IF_ERROR(driver.TakeUp(run, driver.options().retake_after));
  return absl::OkStatus();
}

absl::StatusOr<RunStarted> RunExecutor::Create(const ProjectId& project, const ThreadId& thread, NewRun request) {
  return impl_->Start(project, request, /*thread_is_new=*/false,
                      [&](Transaction& t) -> absl::StatusOr<Thread> { return t.GetThread(project, thread); });
}

absl::StatusOr<RunStarted> RunExecutor::CreateWithThread(const ProjectId& project, NewThread thread, NewRun request) {
  Threads& threads = impl_->driver->ports().threads;
  return impl_->Start(project, request, /*thread_is_new=*/true,
                      [&](Transaction& t) -> absl::StatusOr<Thread> { return threads.CreateIn(t, project, thread); });
}

absl::StatusOr<Run> RunExecutor::SetMetadata(const ProjectId& project, const ThreadId& thread, const RunId& run,
                                             Metadata metadata) {
  Repository& repository = impl_->driver->ports().backing.repository;
  // While it is active, the machine's own copy would overwrite what is written beside it.
  const auto task = impl_->driver->Find(run);
  std::unique_lock<std::mutex> lock;
  if (task != nullptr) lock = std::unique_lock(task->mutex);
  Run changed;
  auto stored = std::make_shared<Stored>();
  repository.WriteAsync(
      [&changed, project, thread, run, metadata](Transaction& t) -> absl::Status {
        GATEWAY_ASSIGN_OR_RETURN(changed, t.GetRun(project, thread, run));
        changed.metadata = metadata;
        return t.PutRun(changed);
      },
      [stored](absl::Status status) {
        stored->status = std::move(status);
        stored->done.Notify();
      });
  const bool is_ours = task != nullptr && task->state.run.project == project && task->thread == thread;
  if (is_ours) task->state.run.metadata = metadata;
  if (lock.owns_lock()) lock.unlock();
  stored->done.WaitForNotification();
  if (!stored->status.ok()) return stored->status;
  return changed;
}

absl::StatusOr<Run> RunExecutor::Cancel(const ProjectId& project, const ThreadId& thread, const RunId& run) {
  RunDriver& driver = *impl_->driver;
  Run found;
  GATEWAY_RETURN_IF_ERROR(driver.ports().backing.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(found, s.GetRun(project, thread, run));
    return absl::OkStatus();
  }));
  const auto task = driver.Find(run);
  if (task == nullptr) {
    GATEWAY_ASSIGN_OR_RETURN(found, impl_->ReadSettled(project, thread, run));
    GATEWAY_RETURN_IF_ERROR(CheckCancellable(found));
    return NotAtWork();
  }
  auto stored = std::make_shared<Stored>();
  std::vector<RunEvent> events;
  {
    const std::lock_guard lock(task->mutex);
    found = task->state.run;
    GATEWAY_RETURN_IF_ERROR(CheckCancellable(found));
    events = driver.FeedLocked(task, CancelRequested{}, stored);
  }
  if (events.empty()) return NotAtWork();
  stored->done.WaitForNotification();
  GATEWAY_RETURN_IF_ERROR(stored->status);
  for (const RunEvent& event : events) {
    if (event.kind == RunEventKind::kRunCancelling) return std::get<Run>(event.payload);
  }
  return found;
}

absl::StatusOr<RunStarted> RunExecutor::SubmitToolOutputs(const ProjectId& project, const ThreadId& thread,
                                                          const RunId& run, std::vector<ToolOutput> outputs) {
  RunDriver& driver = *impl_->driver;
  RunStarted started;
  GATEWAY_RETURN_IF_ERROR(driver.ports().backing.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(started.run, s.GetRun(project, thread, run));
    return absl::OkStatus();
  }));
  const auto task = driver.Find(run);
  if (task == nullptr) {
    GATEWAY_ASSIGN_OR_RETURN(started.run, impl_->ReadSettled(project, thread, run));
    GATEWAY_RETURN_IF_ERROR(CheckOutputs(started.run, outputs));
    return NotAtWork();
  }
  auto stored = std::make_shared<Stored>();
  {
    const std::lock_guard lock(task->mutex);
    GATEWAY_RETURN_IF_ERROR(CheckOutputs(task->state.run, outputs));
    started.first_event = driver.ports().log.NextSequence(run);
    // Nothing follows for a task that was given up a moment ago.
    if (driver.FeedLocked(task, OutputsSubmitted{.outputs = std::move(outputs)}, stored).empty()) return NotAtWork();
    started.run = task->state.run;
  }
  stored->done.WaitForNotification();
  GATEWAY_RETURN_IF_ERROR(stored->status);
  return started;
}

absl::Status RunExecutor::Abandon(const ProjectId& project, const ThreadId& thread) {
  RunDriver& driver = *impl_->driver;
  for (const auto& task : driver.FindByThread(thread)) driver.Abandon(task, "The thread was deleted.");
  // What was asked to be written before is written when this is.
  GATEWAY_RETURN_IF_ERROR(driver.ports().backing.repository.Write([](Transaction&) { return absl::OkStatus(); }));
  const absl::Status freed = driver.ports().code.Delete(project, ContainerOf(thread));
  // Without an interpreter there is no container either: its sessions end with it.
  return absl::IsUnavailable(freed) ? absl::OkStatus() : freed;
}

}  // namespace carrel::gateway
