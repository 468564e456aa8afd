#include "run_driver.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"
#include "inputs_loader.h"

namespace carrel::gateway {
namespace {

constexpr absl::Duration kFirstLook = absl::Milliseconds(20);
constexpr absl::Duration kLookMax = absl::Milliseconds(500);
constexpr absl::Duration kRetakeMax = absl::Minutes(1);

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Every item of a list, oldest first.
template <class List>
auto ListAll(const List& list) -> absl::StatusOr<decltype(list(PageRequest{})->items)> {
  decltype(list(PageRequest{})->items) all;
  PageRequest page{.limit = 100, .ascending = true};
  for (;;) {
    auto got = list(page);
    if (!got.ok()) return got.status();
    for (auto& item : got->items) all.push_back(std::move(item));
    if (!got->has_more || got->items.empty()) return all;
    page.after = all.back().id.value;
  }
}

}  // namespace

// Feeds the machine with what the model says.
class RunDriver::ModelListener final : public ChatListener {
 public:
  ModelListener(std::weak_ptr<RunDriver> driver, std::weak_ptr<RunTask> task, uint64_t op)
      : driver_(std::move(driver)), task_(std::move(task)), op_(op) {}

  void OnDelta(ChatDelta delta) override { Tell(ModelSaid{.op = op_, .delta = std::move(delta)}); }
  void OnEnd(absl::StatusOr<ChatEnd> end) override { Tell(ModelEnded{.op = op_, .end = std::move(end)}); }

 private:
  void Tell(Input input) {
    const auto driver = driver_.lock();
    const auto task = task_.lock();
    if (driver != nullptr && task != nullptr) driver->Feed(task, std::move(input));
  }

  std::weak_ptr<RunDriver> driver_;
  std::weak_ptr<RunTask> task_;
  uint64_t op_;
};

class RunDriver::CodeOutputListener final : public CodeListener {
 public:
  CodeOutputListener(std::weak_ptr<RunDriver> driver, std::weak_ptr<RunTask> task, uint64_t op, std::size_t call)
      : driver_(std::move(driver)), task_(std::move(task)), op_(op), call_(call) {}

  void OnLogs(std::string piece) override {
    const auto driver = driver_.lock();
    const auto task = task_.lock();
    if (driver == nullptr || task == nullptr) return;
    driver->Feed(task, CodeSaid{.op = op_, .call = call_, .logs = std::move(piece)});
  }
  void OnEnd(absl::StatusOr<CodeResult> result) override {
    const auto driver = driver_.lock();
    const auto task = task_.lock();
    if (driver == nullptr || task == nullptr) return;
    if (!result.ok()) {
      driver->Feed(task, CodeEnded{.op = op_, .call = call_, .outcome = result.status()});
    } else if (result->images.empty() && result->files.empty()) {
      driver->Feed(task, CodeEnded{.op = op_,
                                   .call = call_,
                                   .outcome = CodeOutcome{.ending = std::move(result->ending),
                                                          .text = std::move(result->text),
                                                          .state_lost = result->state_lost}});
    } else {
      driver->pool().Post([driver, task, op = op_, call = call_, result = *std::move(result)]() mutable {
        driver->KeepOutputs(task, op, call, std::move(result));
      });
    }
  }

 private:
  std::weak_ptr<RunDriver> driver_;
  std::weak_ptr<RunTask> task_;
  uint64_t op_;
  std::size_t call_;
};

RunDriver::RunDriver(ExecutorPorts ports, ExecutorOptions options)
    : ports_(ports), options_(std::move(options)), pool_(std::max(1, options_.workers)) {}

void RunDriver::Stop() {
  std::vector<std::shared_ptr<RunTask>> tasks;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [id, task] : tasks_) tasks.push_back(task);
    tasks_.clear();
    waiting_.clear();
  }
  for (const auto& task : tasks) {
    std::unique_ptr<ChatCall> chat;
    std::unique_ptr<CodeCall> code;
    {
      const std::lock_guard lock(task->mutex);
      task->state.phase = RunPhase::kOver;  // for this process
      chat = std::move(task->chat);
      code = std::move(task->code);
    }
  }
  pool_.Stop();
}

void RunDriver::Register(const std::shared_ptr<RunTask>& task, const ThreadId& thread) {
  const std::lock_guard lock(mutex_);
  task->thread = thread;
  tasks_[task->id] = task;
}

void RunDriver::Forget(const RunTask& task) {
  const std::lock_guard lock(mutex_);
  // The run may have been taken up again by another task.
  const auto found = tasks_.find(task.id);
  if (found != tasks_.end() && found->second.get() == &task) tasks_.erase(found);
}

std::shared_ptr<RunTask> RunDriver::Find(const RunId& run) {
  const std::lock_guard lock(mutex_);
  const auto found = tasks_.find(run);
  return found == tasks_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<RunTask>> RunDriver::FindByThread(const ThreadId& thread) {
  std::vector<std::shared_ptr<RunTask>> found;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, task] : tasks_) {
    if (task->thread == thread) found.push_back(task);
  }
  return found;
}

bool RunDriver::HasRoomToQueue() {
  const std::lock_guard lock(mutex_);
  return waiting_.size() < options_.runs_queued_max;
}

void RunDriver::BeginLocked(const std::shared_ptr<RunTask>& task, Restored restored) {
  task->state = std::move(restored.state);
  if (task->state.run.expires_at.has_value()) {
    task->expiry = pool_.PostAfter(*task->state.run.expires_at - ports_.backing.clock.Now(),
                                   [self = weak_from_this(), weak = std::weak_ptr(task)] {
                                     const auto driver = self.lock();
                                     const auto expired = weak.lock();
                                     if (driver != nullptr && expired != nullptr) driver->Feed(expired, TimeIsUp{});
                                   });
  }
  std::vector<RunEvent> emitted;
  Carry(task, std::move(restored.effects), nullptr, emitted);
}

void RunDriver::Feed(const std::shared_ptr<RunTask>& task, Input input) {
  const std::lock_guard lock(task->mutex);
  FeedLocked(task, std::move(input));
}

std::vector<RunEvent> RunDriver::FeedLocked(const std::shared_ptr<RunTask>& task, Input input,
                                            const std::shared_ptr<Stored>& stored) {
  std::vector<RunEvent> emitted;
  if (auto* ended = std::get_if<ModelEnded>(&input); ended != nullptr) {
    ended->prompt_tokens_estimate = task->prompt_tokens_estimate;
  }
  Carry(task, Step(task->state, std::move(input), Now(), options_.machine), stored, emitted);
  return emitted;
}

void RunDriver::Carry(const std::shared_ptr<RunTask>& task, std::vector<Effect> effects,
                      const std::shared_ptr<Stored>& stored, std::vector<RunEvent>& emitted) {
  for (Effect& effect : effects) {
    if (auto* emit = std::get_if<Emit>(&effect); emit != nullptr) {
      emitted.insert(emitted.end(), emit->events.begin(), emit->events.end());
      Do(task, std::move(*emit), stored);
    } else if (auto* keep = std::get_if<KeepStep>(&effect); keep != nullptr) {
      Do(task, std::move(*keep));
    } else if (std::holds_alternative<Prepare>(effect)) {
      pool_.Post([self = shared_from_this(), task, deadline = absl::Now() + options_.files_wait_max] {
        self->PrepareInputs(task, deadline, kFirstLook);
      });
    } else if (auto* ask = std::get_if<AskModel>(&effect); ask != nullptr) {
      Do(task, *ask);
    } else if (auto* run = std::get_if<RunCode>(&effect); run != nullptr) {
      Do(task, std::move(*run));
    } else if (auto* search = std::get_if<RunSearch>(&effect); search != nullptr) {
      Do(task, std::move(*search));
    } else if (std::holds_alternative<StopWork>(effect)) {
      StopCalls(*task);
    } else if (std::holds_alternative<WantWorker>(effect)) {
      WantWorkerFor(task);
    } else if (std::holds_alternative<ReleaseWorker>(effect)) {
      ReleaseWorkerOf(*task);
    }
  }
  if (task->state.IsOver()) {
    StopCalls(*task);
    pool_.CancelTimer(task->expiry);
    task->inputs.reset();
    Forget(*task);
  }
}

void RunDriver::Do(const std::shared_ptr<RunTask>& task, Emit effect, const std::shared_ptr<Stored>& stored) {
  ports_.log.Append(task->id, std::move(effect.events),
                    effect.when_durable ? RunLog::Publish::kWhenDurable : RunLog::Publish::kAtOnce,
                    // Keeps the task: one that is over is known to nobody else, and its end may not be stored.
                    [self = weak_from_this(), task, stored](absl::Status status) {
                      if (stored != nullptr && !stored->done.HasBeenNotified()) {
                        stored->status = status;
                        stored->done.Notify();
                      }
                      if (status.ok()) return;
                      const auto driver = self.lock();
                      if (driver != nullptr) driver->pool_.Post([driver, task] { driver->OnNotStored(task); });
                    });
}

void RunDriver::OnNotStored(const std::shared_ptr<RunTask>& task) {
  // Nothing more can be said of a run whose events cannot be stored (a full disk, say): it goes on from where the
  // storage has it, as after a restart, so that it does not hold its thread for ever.
  Run run;
  {
    const std::lock_guard lock(task->mutex);
    if (std::exchange(task->given_up, true)) return;
    run = task->state.run;
  }
  Abandon(task, "What the run did could not be stored. It is taken up again; the run can be retrieved.");
  TakeUpLater(run, task->retake_after);
}

void RunDriver::TakeUpLater(const Run& run, absl::Duration pause) {
  pool_.PostAfter(pause, [self = weak_from_this(), run, pause] {
    const auto driver = self.lock();
    if (driver == nullptr || driver->Find(run.id) != nullptr) return;
    const absl::Duration next = std::min(pause * 2, kRetakeMax);
    Run found;
    const absl::Status read = driver->ports_.backing.repository.Read([&](const Snapshot& s) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(found, s.GetRun(run.project, run.thread_id, run.id));
      return absl::OkStatus();
    });
    if (ErrorOf(read).has_value()) return;  // its thread was deleted
    if (read.ok() && !IsActive(found.status)) return;
    if (!read.ok() || !driver->TakeUp(found, next).ok()) driver->TakeUpLater(run, next);
  });
}

absl::Status RunDriver::TakeUp(const Run& run, absl::Duration retake_after) {
  std::vector<RunStep> steps;
  std::vector<Message> messages;
  GATEWAY_RETURN_IF_ERROR(ports_.backing.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(
        steps, ListAll([&](const PageRequest& page) { return s.ListSteps(run.project, run.thread_id, run.id, page); }));
    GATEWAY_ASSIGN_OR_RETURN(messages, ListAll([&](const PageRequest& page) {
                               return s.ListMessages(run.project, run.thread_id, {.run_id = run.id}, page);
                             }));
    return absl::OkStatus();
  }));
  const auto task = std::make_shared<RunTask>(run.id);
  task->retake_after = retake_after;
  Register(task, run.thread_id);
  const std::lock_guard lock(task->mutex);
  BeginLocked(task, Restore(run, std::move(steps), std::move(messages), Now()));
  return absl::OkStatus();
}

void RunDriver::Do(const std::shared_ptr<RunTask>& task, KeepStep effect) {
  ++task->keeping;
  ports_.backing.repository.WriteAsync(
      [step = std::move(effect.step)](Transaction& t) { return t.PutStep(step); },
      [self = weak_from_this(), weak = std::weak_ptr(task)](absl::Status status) {
        const auto driver = self.lock();
        const auto kept = weak.lock();
        if (driver == nullptr || kept == nullptr) return;
        driver->pool_.Post([driver, kept, status = std::move(status)] { driver->OnKept(kept, status); });
      });
}

void RunDriver::OnKept(const std::shared_ptr<RunTask>& task, const absl::Status& status) {
  if (!status.ok()) {
    OnNotStored(task);
    return;
  }
  const std::lock_guard lock(task->mutex);
  --task->keeping;
  if (task->keeping > 0 || !task->code_when_kept.has_value()) return;
  RunCode waiting = *std::exchange(task->code_when_kept, std::nullopt);
  if (waiting.op == task->state.op) Do(task, std::move(waiting));
}

int64_t RunDriver::WindowOf(const std::string& model) const {
  const auto found = options_.windows.find(model);
  return found == options_.windows.end() ? options_.window_tokens : found->second;
}

void RunDriver::Do(const std::shared_ptr<RunTask>& task, AskModel effect) {
  const RunState& state = task->state;
  const PromptInputs none;
  Prompt prompt =
      BuildPrompt(state.run, task->inputs != nullptr ? *task->inputs : none, state.turns,
                  /*first=*/state.turns.empty(), {.window_tokens = WindowOf(state.run.model), .used = state.usage});
  task->prompt_tokens_estimate = prompt.estimated_tokens;
  if (prompt.too_long) {
    // Not from within Carry: the machine's step is being carried out.
    pool_.Post([self = shared_from_this(), task, op = effect.op] { self->Feed(task, PromptTooLong{.op = op}); });
    return;
  }
  StopCalls(*task);
  task->chat =
      ports_.model.Start(std::move(prompt.request), std::make_shared<ModelListener>(weak_from_this(), task, effect.op));
}

void RunDriver::Do(const std::shared_ptr<RunTask>& task, RunCode effect) {
  StopCalls(*task);
  if (task->keeping > 0) {
    task->code_when_kept = std::move(effect);
    return;
  }
  CodeRequest request{
      .project = task->state.run.project, .container = ContainerOf(task->thread), .code = std::move(effect.code)};
  if (task->inputs != nullptr) {
    for (const MountedFile& file : task->inputs->files) {
      request.files.push_back({.path = file.id.value, .blob = file.blob});
    }
  }
  task->code = ports_.code.Start(std::move(request),
                                 std::make_shared<CodeOutputListener>(weak_from_this(), task, effect.op, effect.call));
}

void RunDriver::Do(const std::shared_ptr<RunTask>& task, RunSearch effect) {
  SearchRequest request{.project = task->state.run.project,
                        .stores = task->inputs != nullptr ? task->inputs->stores : std::vector<StoreId>(),
                        .queries = std::move(effect.queries),
                        .max_results = effect.max_results,
                        .ranking = std::move(effect.ranking)};
  pool_.Post([self = shared_from_this(), task, op = effect.op, call = effect.call, request = std::move(request)] {
    {
      const std::lock_guard lock(task->mutex);
      if (task->state.IsOver()) return;
    }
    SearchEnded ended{.op = op, .call = call, .results = std::vector<SearchResult>()};
    if (!request.stores.empty()) {
      absl::StatusOr<SearchAnswer> answer = self->ports_.backing.search.Search(request);
      if (answer.ok()) {
        ended.results = std::move(answer->results);
      } else {
        ended.results = answer.status();
      }
      for (const StoreId& store : request.stores) {
        // Counts as use. A store that was deleted meanwhile has nothing to count.
        if (const auto touched = self->ports_.stores.Touch(request.project, store); !touched.ok()) continue;
      }
    }
    self->Feed(task, std::move(ended));
  });
}

void RunDriver::StopCalls(RunTask& task) {
  task.code_when_kept.reset();
  if (task.chat == nullptr && task.code == nullptr) return;
  pool_.Post([chat = std::move(task.chat), code = std::move(task.code)]() mutable {
    chat.reset();
    code.reset();
  });
}

void RunDriver::WantWorkerFor(const std::shared_ptr<RunTask>& task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    waiting_.push_back(task);
  }
  Dispatch();
}

void RunDriver::ReleaseWorkerOf(RunTask& task) {
  if (!task.holds_worker) return;
  task.holds_worker = false;
  {
    const std::lock_guard lock(mutex_);
    --in_flight_;
  }
  Dispatch();
}

void RunDriver::Dispatch() {
  for (;;) {
    std::shared_ptr<RunTask> next;
    {
      const std::lock_guard lock(mutex_);
      while (next == nullptr && !waiting_.empty() && in_flight_ < options_.runs_in_flight_max) {
        next = waiting_.front().lock();
        waiting_.pop_front();
      }
      if (next == nullptr) return;
      ++in_flight_;
    }
    pool_.Post([self = shared_from_this(), next] { self->GiveWorkerTo(next); });
  }
}

void RunDriver::GiveWorkerTo(const std::shared_ptr<RunTask>& task) {
  const std::lock_guard lock(task->mutex);
  task->holds_worker = true;
  if (task->state.IsOver()) {
    ReleaseWorkerOf(*task);
    return;
  }
  FeedLocked(task, TakenUp{});
}

void RunDriver::PrepareInputs(const std::shared_ptr<RunTask>& task, absl::Time deadline, absl::Duration pause) {
  Run run;
  {
    const std::lock_guard lock(task->mutex);
    if (task->state.IsOver()) return;
    run = task->state.run;
  }
  auto loaded = LoadInputs(ports_.backing, run, WindowOf(run.model));
  if (loaded.ok() && loaded->files_in_progress > 0 && absl::Now() < deadline) {
    pool_.PostAfter(pause, [self = weak_from_this(), task, deadline, pause] {
      if (const auto driver = self.lock()) driver->PrepareInputs(task, deadline, std::min(pause * 2, kLookMax));
    });
    return;
  }
  const std::lock_guard lock(task->mutex);
  if (!loaded.ok()) {
    FeedLocked(task, PrepareFailed{.error = {.message = std::string(loaded.status().message())}});
    return;
  }
  auto inputs = std::make_shared<PromptInputs>(std::move(loaded->inputs));
  task->inputs = inputs;
  FeedLocked(task, Prepared{.links = inputs->links});
}

void RunDriver::KeepOutputs(const std::shared_ptr<RunTask>& task, uint64_t op, std::size_t call, CodeResult result) {
  CodeOutcome outcome{
      .ending = std::move(result.ending), .text = std::move(result.text), .state_lost = result.state_lost};
  ProjectId project;
  {
    const std::lock_guard lock(task->mutex);
    if (task->state.IsOver()) return;
    project = task->state.run.project;
  }
  std::vector<FileObject> files;
  const auto keep = [&](const CodeArtifact& artifact) {
    files.push_back({.id = ports_.backing.ids.NewFile(),
                     .project = project,
                     .created_at = ports_.backing.clock.Now(),
                     .filename = BaseName(artifact.path),
                     .purpose = kPurposeOutput,
                     .blob = artifact.stored.blob});
    return files.back().id;
  };
  for (const CodeArtifact& image : result.images) {
    outcome.images.push_back(keep(image));
    if (files.back().filename.empty()) files.back().filename = outcome.images.back().value + ".png";
  }
  for (const CodeArtifact& file : result.files) outcome.files.push_back({.path = file.path, .file_id = keep(file)});
  const absl::Status kept = ports_.backing.repository.Write([&](Transaction& t) -> absl::Status {
    for (const FileObject& file : files) GATEWAY_RETURN_IF_ERROR(t.PutFile(file));
    return absl::OkStatus();
  });
  if (kept.ok()) {
    Feed(task, CodeEnded{.op = op, .call = call, .outcome = std::move(outcome)});
  } else {
    Feed(task, CodeEnded{.op = op, .call = call, .outcome = kept});
  }
}

void RunDriver::Abandon(const std::shared_ptr<RunTask>& task, const std::string& why) {
  {
    const std::lock_guard lock(task->mutex);
    if (!task->state.IsOver()) {
      task->state.phase = RunPhase::kOver;
      StopCalls(*task);
      pool_.CancelTimer(task->expiry);
      ReleaseWorkerOf(*task);
      Forget(*task);
    }
  }
  std::vector<RunEvent> last;
  last.push_back({.kind = RunEventKind::kError, .payload = Error{.kind = ErrorKind::kInvalidRequest, .args = {why}}});
  ports_.log.Append(task->id, std::move(last), RunLog::Publish::kAtOnce, nullptr);
}

}  // namespace carrel::gateway
