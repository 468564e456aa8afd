// The executor over a real storage, with a model and tools of the test's own.
#include "gateway/assistants/run_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/core/assistants.h"
#include "gateway/core/ingester.h"
#include "gateway/core/system.h"
#include "gateway/storage/blob_directory.h"
#include "gateway/storage/sqlite_storage.h"
#include "gateway/types/error.h"
#include "gateway/types/run_status_name.h"
#include "machine_fixture.h"

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Runs pieces of work on one thread after a delay; what is cancelled is not run.
class Timeline {
 public:
  Timeline() : thread_([this] { Loop(); }) {}
  ~Timeline() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  void After(absl::Duration delay, std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.emplace(absl::Now() + delay, std::move(work));
    changed_.notify_all();
  }

 private:
  void Loop() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (work_.empty()) {
        changed_.wait(lock);
      } else if (const absl::Duration wait = work_.begin()->first - absl::Now(); wait > absl::ZeroDuration()) {
        changed_.wait_for(lock, absl::ToChronoNanoseconds(wait));
      } else {
        auto work = std::move(work_.begin()->second);
        work_.erase(work_.begin());
        lock.unlock();
        work();
        lock.lock();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<absl::Time, std::function<void()>> work_;
  bool stopping_ = false;
  std::thread thread_;
};

template <class Listener, class Base>
class Call final : public Base {
 public:
  struct Shared {
    std::mutex mutex;
    std::shared_ptr<Listener> listener;
  };
  explicit Call(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  ~Call() override {
    const std::lock_guard lock(shared_->mutex);
    shared_->listener = nullptr;
  }

 private:
  std::shared_ptr<Shared> shared_;
};

// Answers by the last message: "call NAME ARGS" on its lines makes calls, a tool's answer is repeated, "hang" never
// ends.
class FakeModel final : public ChatModel {
 public:
  using Made = Call<ChatListener, ChatCall>;

  std::unique_ptr<ChatCall> Start(ChatRequest request, std::shared_ptr<ChatListener> listener) override {
    auto shared = std::make_shared<Made::Shared>();
    shared->listener = std::move(listener);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    timeline_.After(delay, [shared, request = std::move(request)] { Answer(*shared, request); });
    return std::make_unique<Made>(shared);
  }
  void ListModels(absl::AnyInvocable<void(absl::StatusOr<JsonText>)> done) override {
    done(absl::UnimplementedError("not asked by runs"));
  }
  std::vector<ChatRequest> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  absl::Duration delay = absl::ZeroDuration();

 private:
  static void Answer(Made::Shared& shared, const ChatRequest& request) {
    const std::lock_guard lock(shared.mutex);
    if (shared.listener == nullptr) return;
    const ChatMessage& last = request.messages.back();
    const std::string text = last.parts.empty() ? "" : last.parts.back().text;
    if (text == "hang") return;
    if (last.role == ChatMessage::Role::kUser && text.starts_with("call ")) {
      int index = 0;
      std::istringstream lines(text);
      for (std::string line; std::getline(lines, line); ++index) {
        const std::size_t space = line.find(' ', 5);
        shared.listener->OnDelta({.tool_calls = {{.index = index,
                                                  .id = absl::StrCat("call_", index),
                                                  .name = line.substr(5, space - 5),
                                                  .arguments = line.substr(space + 1)}}});
      }
      shared.listener->OnEnd(ChatEnd{.reason = ChatEnd::Reason::kToolCalls});
      return;
    }
    shared.listener->OnDelta({.text = "Said: "});
    shared.listener->OnDelta({.text = text});
    shared.listener->OnEnd(ChatEnd{.usage = TokenUsage{.prompt_tokens = 1, .completion_tokens = 2}});
  }

  std::mutex mutex_;
  std::vector<ChatRequest> requests_;
  Timeline timeline_;
};

// "Runs" code by printing it; code that holds "write" writes /mnt/data/out.txt, "hang" never ends.
class FakeCode final : public CodeTool {
 public:
  using Made = Call<CodeListener, CodeCall>;
  explicit FakeCode(FileStore& files) : files_(files) {}

  std::unique_ptr<CodeCall> Start(CodeRequest request, std::shared_ptr<CodeListener> listener) override {
    auto shared = std::make_shared<Made::Shared>();
    shared->listener = std::move(listener);
    timeline_.After(absl::ZeroDuration(), [this, shared, request = std::move(request)] {
      const std::lock_guard lock(shared->mutex);
      if (shared->listener == nullptr || request.code == "hang") return;
      CodeResult result{.text = "printed " + request.code};
      for (const CodeFile& file : request.files) result.text += " " + file.path;
      if (request.code.find("write") != std::string::npos) {
        auto writer = *files_.Create(100);
        EXPECT_TRUE(writer->Append("bytes").ok());
        result.files.push_back({.path = "dir/out.txt", .media_type = "text/plain", .stored = *writer->Finish()});
      }
      shared->listener->OnLogs("printed ");
      shared->listener->OnEnd(std::move(result));
    });
    return std::make_unique<Made>(shared);
  }
  absl::Status Delete(const ProjectId&, const ContainerId& container) override {
    freed.push_back(container);
    return delete_status;
  }

  std::vector<ContainerId> freed;
  absl::Status delete_status;

 private:
  FileStore& files_;
  Timeline timeline_;
};

class FakeSearch final : public SearchTool {
 public:
  absl::Status EnsureStore(const ProjectId&, const StoreId&, const Chunking&) override { return absl::OkStatus(); }
  absl::Status DeleteStore(const ProjectId&, const StoreId&) override { return absl::OkStatus(); }
  absl::StatusOr<StoreModel> Model(const ProjectId&, const StoreId&) override { return StoreModel{.name = "fake"}; }
  absl::StatusOr<StoreModel> SetModel(const ProjectId&, const StoreId&, const std::string& model) override {
    return StoreModel{.name = model};
  }
  absl::StatusOr<StoreFileState> AddFile(const VectorStoreFile&, const FileObject&) override {
    return StoreFileState{.status = slow ? StoreFileStatus::kInProgress : StoreFileStatus::kCompleted};
  }
  absl::StatusOr<StoreFileState> FileState(const ProjectId&, const StoreId&, const FileId&) override {
    return StoreFileState{.status = slow ? StoreFileStatus::kInProgress : StoreFileStatus::kCompleted};
  }
  absl::Status SetAttributes(const ProjectId&, const StoreId&, const FileId&, const Attributes&) override {
    return absl::OkStatus();
  }
  absl::Status DeleteFile(const ProjectId&, const StoreId&, const FileId&) override { return absl::OkStatus(); }
  absl::StatusOr<std::string> FileText(const ProjectId&, const StoreId&, const FileId&) override { return ""; }
  absl::StatusOr<Citation> Cite(const ProjectId&, const StoreId&, const FileId&, const TextSpan&) override {
    return absl::UnimplementedError("no citations");
  }
  absl::StatusOr<PagePicture> RenderPage(const PictureRequest&) override {
    return absl::UnimplementedError("no pictures");
  }
  absl::StatusOr<SearchAnswer> Search(const SearchRequest& request) override {
    return SearchAnswer{.results = {{.file_id = FileId("file-found"),
                                     .file_name = "found.txt",
                                     .score = 1,
                                     .passage = absl::StrCat(request.queries.at(0), " in ", request.stores.size()),
                                     .citations = {{.quote = "quote"}}}}};
  }
  std::atomic<bool> slow = false;
};

// A log that refuses to store while it is told to, as on a full disk.
class FailingLog final : public RunLog {
 public:
  explicit FailingLog(RunLog& real) : real_(real) {}

  void Append(const RunId& run, std::vector<RunEvent> events, Publish publish,
              absl::AnyInvocable<void(absl::Status)> done) override {
    const bool is_delta_or_error = IsDelta(events.front().kind) || events.front().kind == RunEventKind::kError;
    if (!failing || is_delta_or_error) {
      real_.Append(run, std::move(events), publish, std::move(done));
      return;
    }
    ++failures;
    timeline_.After(absl::ZeroDuration(),
                    [done = std::make_shared<absl::AnyInvocable<void(absl::Status)>>(std::move(done))] {
                      (*done)(absl::ResourceExhaustedError("disk full"));
                    });
  }
  std::unique_ptr<RunSubscription> Subscribe(const RunId& run, uint64_t from) override {
    return real_.Subscribe(run, from);
  }
  uint64_t NextSequence(const RunId& run) override { return real_.NextSequence(run); }

  std::atomic<bool> failing = false;
  std::atomic<int> failures = 0;

 private:
  RunLog& real_;
  Timeline timeline_;
};

// A clock that can be put forward.
class MovedClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now() + absl::Seconds(ahead_seconds.load()); }
  std::atomic<int> ahead_seconds = 0;
};

class RunExecutorTest : public ::testing::Test {
 protected:
  RunExecutorTest() {
    std::string name = (std::filesystem::temp_directory_path() / "carrel_runs_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    Open();
    Assistants assistants(*backing_, *stores_);
    assistant_ =
        assistants.Create(project_, {.model = "m", .tools = {CodeToolOf(), SearchToolOf(), FunctionNamed("f")}})->id;
  }
  ~RunExecutorTest() override {
    Close();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    storage_ = *SqliteStorage::Open({.path = directory_ + "/db", .sync = SqliteStorage::Sync::kNormal});
    files_ = *OpenBlobDirectory(directory_ + "/blobs");
    code_ = std::make_unique<FakeCode>(*files_);
    backing_.emplace(Backing{storage_->repository(), *files_, search_, clock_, ids_});
    ingester_ = std::make_unique<Ingester>(*backing_);
    stores_ = std::make_unique<Stores>(*backing_, *ingester_);
    threads_ = std::make_unique<Threads>(*backing_, *stores_);
    model_ = std::make_unique<FakeModel>();
    log_ = std::make_unique<FailingLog>(storage_->run_log());
    executor_ =
        std::make_unique<RunExecutor>(ExecutorPorts{*backing_, *log_, *model_, *code_, *threads_, *stores_}, options_);
    ASSERT_TRUE(executor_->Recover().ok());
  }
  void Close() {
    executor_.reset();
    log_.reset();
    model_.reset();
    code_.reset();
    threads_.reset();
    stores_.reset();
    ingester_.reset();
    storage_.reset();
    files_.reset();
  }

  ThreadId NewThreadSaying(std::string text) {
    NewMessage message;
    message.content.push_back({.text = std::move(text)});
    return threads_->Create(project_, {.messages = {message}})->id;
  }
  gateway::Run Start(const ThreadId& thread) {
    auto started = executor_->Create(project_, thread, {.assistant_id = assistant_});
    EXPECT_TRUE(started.ok()) << started.status();
    return started->run;
  }
  gateway::Run Get(const gateway::Run& run) {
    gateway::Run found;
    EXPECT_TRUE(backing_->repository
                    .Read([&](const Snapshot& s) {
                      auto got = s.GetRun(project_, run.thread_id, run.id);
                      if (got.ok()) found = *std::move(got);
                      return got.status();
                    })
                    .ok());
    return found;
  }
  gateway::Run WaitFor(const gateway::Run& run, RunStatus status) {
    gateway::Run found = Get(run);
    for (const absl::Time end = absl::Now() + absl::Seconds(20); found.status != status && absl::Now() < end;) {
      absl::SleepFor(absl::Milliseconds(2));
      found = Get(run);
    }
    EXPECT_EQ(RunStatusName(found.status), RunStatusName(status))
        << (found.last_error.has_value() ? found.last_error->message : "");
    return found;
  }
  std::vector<Message> Messages(const ThreadId& thread) {
    return threads_->ListMessages(project_, thread, {}, {.limit = 100})->items;
  }
  std::string Answer(const ThreadId& thread) {
    const auto messages = Messages(thread);
    return messages.empty() || messages.front().content.empty() ? "" : messages.front().content.back().text;
  }
  std::vector<RunStep> Steps(const gateway::Run& run) {
    std::vector<RunStep> steps;
    EXPECT_TRUE(backing_->repository
                    .Read([&](const Snapshot& s) {
                      auto got = s.ListSteps(project_, run.thread_id, run.id, {.limit = 100, .ascending = true});
                      if (got.ok()) steps = got->items;
                      return got.status();
                    })
                    .ok());
    return steps;
  }
  // Names of the events of a run from `from` until the stream ends, deltas as one.
  std::vector<std::string> Stream(const RunId& run, uint64_t from) {
    const auto subscription = storage_->run_log().Subscribe(run, from);
    std::vector<std::string> names;
    const absl::Time end = absl::Now() + absl::Seconds(20);
    for (;;) {
      const auto events = subscription->Wait(100, end);
      if (!events.ok() || events->empty()) {
        ADD_FAILURE() << "the stream did not end: " << events.status();
        return names;
      }
      for (const RunEvent& event : *events) {
        const std::string name = NameOf(event.kind);
        if (!IsDelta(event.kind) || names.empty() || names.back() != name) names.push_back(name);
        if (EndsStream(event.kind)) return names;
      }
    }
  }

  const ProjectId project_{"p"};
  std::string directory_;
  MovedClock clock_;
  RandomIds ids_;
  FakeSearch search_;
  ExecutorOptions options_;
  std::unique_ptr<SqliteStorage> storage_;
  std::unique_ptr<FileStore> files_;
  std::optional<Backing> backing_;
  std::unique_ptr<Ingester> ingester_;
  std::unique_ptr<Stores> stores_;
  std::unique_ptr<Threads> threads_;
  std::unique_ptr<FakeModel> model_;
  std::unique_ptr<FakeCode> code_;
  std::unique_ptr<FailingLog> log_;
  std::unique_ptr<RunExecutor> executor_;
  AssistantId assistant_;
};

TEST_F(RunExecutorTest, AnswersAndStreams) {
  const ThreadId thread = NewThreadSaying("hello");
  const auto started = executor_->Create(project_, thread, {.assistant_id = assistant_});
  ASSERT_TRUE(started.ok());
  EXPECT_EQ(started->run.status, RunStatus::kQueued);
  EXPECT_THAT(
      Stream(started->run.id, started->first_event),
      ElementsAre("run.created", "run.queued", "run.in_progress", "step.created", "step.in_progress", "message.created",
                  "message.in_progress", "message.delta", "message.completed", "step.completed", "run.completed"));
  const auto done = WaitFor(started->run, RunStatus::kCompleted);
  EXPECT_EQ(done.usage->total_tokens(), 3);
  EXPECT_EQ(Answer(thread), "Said: hello");
}

TEST_F(RunExecutorTest, MakesTheThreadToo) {
  NewMessage message;
  message.content.push_back({.text = "hi"});
  const auto started = executor_->CreateWithThread(project_, {.messages = {message}}, {.assistant_id = assistant_});
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_THAT(Stream(started->run.id, started->first_event).front(), "thread.created");
  EXPECT_EQ(Answer(started->run.thread_id), "Said: hi");
}

TEST_F(RunExecutorTest, RefusesWhatCannotRun) {
  const ThreadId empty = threads_->Create(project_, {})->id;
  EXPECT_EQ(ErrorOf(executor_->Create(project_, empty, {.assistant_id = assistant_}).status())->kind,
            ErrorKind::kEmptyThread);
  EXPECT_EQ(ErrorOf(executor_->Create(project_, ThreadId("thread_no"), {.assistant_id = assistant_}).status())->kind,
            ErrorKind::kObjectMissing);
  const ThreadId thread = NewThreadSaying("hang");
  EXPECT_EQ(ErrorOf(executor_->Create(project_, thread, {.assistant_id = AssistantId("asst_no")}).status())->kind,
            ErrorKind::kObjectMissing);
  EXPECT_EQ(ErrorOf(executor_->Create(ProjectId("other"), thread, {.assistant_id = assistant_}).status())->kind,
            ErrorKind::kObjectMissing);
  const auto run = Start(thread);
  EXPECT_EQ(ErrorOf(executor_->Create(project_, thread, {.assistant_id = assistant_}).status()),
            (Error{ErrorKind::kThreadHasActiveRun, "", {thread.value, run.id.value}}));
  EXPECT_TRUE(executor_->Cancel(project_, thread, run.id).ok());
}

TEST_F(RunExecutorTest, InstructionsAndAdditionsReachTheModel) {
  const ThreadId thread = NewThreadSaying("first");
  NewMessage more;
  more.content.push_back({.text = "second"});
  const auto started = executor_->Create(project_, thread,
                                         {.assistant_id = assistant_,
                                          .instructions = "Be brief.",
                                          .additional_instructions = "Be kind.",
                                          .additional_messages = {more}});
  ASSERT_TRUE(started.ok());
  WaitFor(started->run, RunStatus::kCompleted);
  const auto request = model_->requests().at(0);
  ASSERT_THAT(request.messages, SizeIs(3));
  EXPECT_EQ(request.messages[0].parts[0].text, "Be brief.\n\nBe kind.");
  EXPECT_EQ(request.messages[2].parts[0].text, "second");
}

TEST_F(RunExecutorTest, CodeRunsWithTheFilesAndItsOwnAreKept) {
  auto writer = *files_->Create(100);
  ASSERT_TRUE(writer->Append("a,b").ok());
  const StoredBlob stored = *writer->Finish();
  const FileObject file{
      .id = ids_.NewFile(), .project = project_, .filename = "a.csv", .purpose = "assistants", .blob = stored.blob};
  ASSERT_TRUE(backing_->repository.Write([&](Transaction& t) { return t.PutFile(file); }).ok());
  NewMessage message;
  message.content.push_back({.text = "call code_interpreter {\"code\": \"write sandbox:/mnt/data/dir/out.txt\"}"});
  message.attachments.push_back({.file_id = file.id, .code_interpreter = true});
  const ThreadId thread = threads_->Create(project_, {.messages = {message}})->id;
  const auto run = Start(thread);
  WaitFor(run, RunStatus::kCompleted);
  const auto steps = Steps(run);
  ASSERT_THAT(steps, SizeIs(2));
  const ToolCall& call = steps[0].tool_calls.at(0);
  EXPECT_THAT(call.code_outputs.at(0).logs, HasSubstr("printed write"));
  EXPECT_THAT(call.code_outputs.at(0).logs, HasSubstr(file.id.value));
  const Message answer = Messages(thread).front();
  ASSERT_FALSE(answer.content.at(0).annotations.empty());
  const Annotation& link = answer.content[0].annotations[0];
  EXPECT_EQ(link.kind, Annotation::Kind::kFilePath);
  EXPECT_TRUE(backing_->repository
                  .Read([&](const Snapshot& s) {
                    const auto made = s.GetFile(project_, link.file_id);
                    if (made.ok()) {
                      EXPECT_EQ(made->filename, "out.txt");
                      EXPECT_EQ(made->purpose, kPurposeOutput);
                    }
                    return made.status();
                  })
                  .ok());
}

TEST_F(RunExecutorTest, WaitsForTheThreadsFilesAndSearchesThem) {
  auto writer = *files_->Create(100);
  ASSERT_TRUE(writer->Append("text").ok());
  const StoredBlob stored = *writer->Finish();
  const FileObject file{
      .id = ids_.NewFile(), .project = project_, .filename = "a.txt", .purpose = "assistants", .blob = stored.blob};
  ASSERT_TRUE(backing_->repository.Write([&](Transaction& t) { return t.PutFile(file); }).ok());
  search_.slow = true;
  NewMessage message;
  message.content.push_back({.text = "call file_search {\"query\": \"leave\"}"});
  message.attachments.push_back({.file_id = file.id, .file_search = true});
  const ThreadId thread = threads_->Create(project_, {.messages = {message}})->id;
  const auto run = Start(thread);
  WaitFor(run, RunStatus::kInProgress);
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_TRUE(model_->requests().empty());
  search_.slow = false;
  WaitFor(run, RunStatus::kCompleted);
  const Message answer = Messages(thread).front();
  EXPECT_THAT(answer.content.at(0).text, HasSubstr("leave in 1"));
  ASSERT_THAT(answer.content[0].annotations, SizeIs(1));
  EXPECT_EQ(answer.content[0].annotations[0].file_id, FileId("file-found"));
  EXPECT_EQ(answer.content[0].annotations[0].citation.quote, "quote");
}

TEST_F(RunExecutorTest, AfterTheWaitItStartsWithoutThem) {
  Close();
  options_.files_wait_max = absl::Milliseconds(150);
  Open();
  auto writer = *files_->Create(100);
  ASSERT_TRUE(writer->Append("text").ok());
  const StoredBlob stored = *writer->Finish();
  const FileObject file{
      .id = ids_.NewFile(), .project = project_, .filename = "a.txt", .purpose = "assistants", .blob = stored.blob};
  ASSERT_TRUE(backing_->repository.Write([&](Transaction& t) { return t.PutFile(file); }).ok());
  search_.slow = true;
  NewMessage message;
  message.content.push_back({.text = "hello"});
  message.attachments.push_back({.file_id = file.id, .file_search = true});
  const auto run = Start(threads_->Create(project_, {.messages = {message}})->id);
  WaitFor(run, RunStatus::kCompleted);
}

TEST_F(RunExecutorTest, FunctionsWaitForTheClient) {
  const ThreadId thread = NewThreadSaying("call f {\"x\": 1}\ncall f {\"x\": 2}");
  const auto run = Start(thread);
  const auto waiting = WaitFor(run, RunStatus::kRequiresAction);
  ASSERT_THAT(waiting.required_calls, SizeIs(2));
  EXPECT_THAT(Steps(run).at(0).tool_calls, SizeIs(2));
  EXPECT_EQ(ErrorOf(executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), "a"}}).status()),
            (Error{ErrorKind::kOutputsMismatch, "", {"'call_0', 'call_1'", "'call_0'"}}));
  const auto submitted =
      executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), "a"}, {CallId("call_1"), "b"}});
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  EXPECT_EQ(submitted->run.status, RunStatus::kQueued);
  EXPECT_THAT(Stream(run.id, submitted->first_event),
              ElementsAre("step.completed", "run.queued", "run.in_progress", "step.created", "step.in_progress",
                          "message.created", "message.in_progress", "message.delta", "message.completed",
                          "step.completed", "run.completed"));
  EXPECT_EQ(Answer(thread), "Said: b");
  EXPECT_EQ(ErrorOf(executor_->SubmitToolOutputs(project_, thread, run.id, {}).status())->kind,
            ErrorKind::kOutputsNotAccepted);
}

TEST_F(RunExecutorTest, CancelFreesTheThread) {
  const ThreadId thread = NewThreadSaying("hang");
  const auto run = Start(thread);
  WaitFor(run, RunStatus::kInProgress);
  const auto cancelled = executor_->Cancel(project_, thread, run.id);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->status, RunStatus::kCancelling);
  WaitFor(run, RunStatus::kCancelled);
  EXPECT_EQ(ErrorOf(executor_->Cancel(project_, thread, run.id).status())->kind, ErrorKind::kRunNotCancellable);
  NewMessage again;
  again.content.push_back({.text = "again"});
  ASSERT_TRUE(threads_->AddMessage(project_, thread, again).ok());
  WaitFor(Start(thread), RunStatus::kCompleted);
}

TEST_F(RunExecutorTest, MetadataOfALivingRunStays) {
  const ThreadId thread = NewThreadSaying("call f {}");
  const auto run = Start(thread);
  WaitFor(run, RunStatus::kRequiresAction);
  ASSERT_TRUE(executor_->SetMetadata(project_, thread, run.id, {{"k", "v"}}).ok());
  ASSERT_TRUE(executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), "a"}}).ok());
  EXPECT_EQ(WaitFor(run, RunStatus::kCompleted).metadata.at("k"), "v");
}

TEST_F(RunExecutorTest, AnAbandonedRunWritesNothingAndItsStreamsEnd) {
  const ThreadId thread = NewThreadSaying("hang");
  const auto run = Start(thread);
  WaitFor(run, RunStatus::kInProgress);
  ASSERT_TRUE(executor_->Abandon(project_, thread).ok());
  ASSERT_TRUE(threads_->Delete(project_, thread).ok());
  EXPECT_FALSE(threads_->Get(project_, thread).ok());
  EXPECT_THAT(Stream(run.id, 1), ElementsAre("run.created", "run.queued", "run.in_progress", "error"));
}

// A full disk: the thread is not locked for ever, and streams are not left waiting.
TEST_F(RunExecutorTest, WhatCannotBeStoredIsTakenUpAgainWhenItCan) {
  Close();
  options_.retake_after = absl::Milliseconds(20);
  Open();
  const ThreadId answering = NewThreadSaying("hello");
  const ThreadId coding = NewThreadSaying("call code_interpreter {\"code\": \"write\"}");
  const ThreadId asking = NewThreadSaying("call f {}");
  const auto asked = Start(asking);
  WaitFor(asked, RunStatus::kRequiresAction);
  log_->failing = true;
  const auto answered = Start(answering);
  const auto coded = Start(coding);
  // What is to be acknowledged is refused.
  EXPECT_FALSE(executor_->SubmitToolOutputs(project_, asking, asked.id, {{CallId("call_0"), "a"}}).ok());
  EXPECT_EQ(Stream(answered.id, 1).back(), "error");
  while (log_->failures < 8) absl::SleepFor(absl::Milliseconds(2));
  log_->failing = false;
  WaitFor(answered, RunStatus::kCompleted);
  EXPECT_EQ(Answer(answering), "Said: hello");
  // Its code may have run: it is not run again.
  const gateway::Run end = [&] {
    auto found = Get(coded);
    for (const absl::Time until = absl::Now() + absl::Seconds(20); IsActive(found.status) && absl::Now() < until;) {
      absl::SleepFor(absl::Milliseconds(2));
      found = Get(coded);
    }
    return found;
  }();
  EXPECT_FALSE(IsActive(end.status)) << RunStatusName(end.status);
  // The client's answer can be given again.
  for (const absl::Time until = absl::Now() + absl::Seconds(20); absl::Now() < until;) {
    if (executor_->SubmitToolOutputs(project_, asking, asked.id, {{CallId("call_0"), "b"}}).ok()) break;
    absl::SleepFor(absl::Milliseconds(5));
  }
  WaitFor(asked, RunStatus::kCompleted);
  EXPECT_EQ(Answer(asking), "Said: b");
}

TEST_F(RunExecutorTest, OutputsThatComeTwiceAtOnceAreTakenOnce) {
  for (int round = 0; round < 20; ++round) {
    const ThreadId thread = NewThreadSaying("call f {}");
    const auto run = Start(thread);
    WaitFor(run, RunStatus::kRequiresAction);
    std::atomic<int> accepted = 0;
    std::vector<std::thread> clients;
    for (int c = 0; c < 4; ++c) {
      clients.emplace_back([&, c] {
        const auto submitted =
            executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), absl::StrCat("out ", c)}});
        if (submitted.ok()) {
          ++accepted;
        } else {
          EXPECT_EQ(ErrorOf(submitted.status())->kind, ErrorKind::kOutputsNotAccepted) << submitted.status();
        }
      });
    }
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(accepted, 1);
    WaitFor(run, RunStatus::kCompleted);
    EXPECT_THAT(Answer(thread), ::testing::StartsWith("Said: out "));
  }
}

TEST_F(RunExecutorTest, OutputsWhileItIsCancelledAreTakenOrRefusedButNeverBoth) {
  for (int round = 0; round < 20; ++round) {
    const ThreadId thread = NewThreadSaying("call f {}");
    const auto run = Start(thread);
    WaitFor(run, RunStatus::kRequiresAction);
    absl::Status cancelled;
    std::thread canceller([&] { cancelled = executor_->Cancel(project_, thread, run.id).status(); });
    const auto submitted = executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), "out"}});
    canceller.join();
    EXPECT_TRUE(cancelled.ok() || submitted.ok());
    if (!submitted.ok()) {
      EXPECT_EQ(ErrorOf(submitted.status())->kind, ErrorKind::kOutputsNotAccepted);
    }
    WaitFor(run, cancelled.ok() ? RunStatus::kCancelled : RunStatus::kCompleted);
    // Whatever won, the thread is free.
    NewMessage again;
    again.content.push_back({.text = "again"});
    ASSERT_TRUE(threads_->AddMessage(project_, thread, again).ok());
  }
}

TEST_F(RunExecutorTest, OutputsAfterTheTimeIsUpAreRefused) {
  const ThreadId thread = NewThreadSaying("call f {}");
  const auto run = Start(thread);
  WaitFor(run, RunStatus::kRequiresAction);
  // While nobody was there to see it: a process that starts later finds it.
  Close();
  clock_.ahead_seconds = 601;
  Open();
  WaitFor(run, RunStatus::kExpired);
  EXPECT_EQ(ErrorOf(executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), "late"}}).status()),
            (Error{ErrorKind::kOutputsNotAccepted, "", {"expired"}}));
  EXPECT_EQ(ErrorOf(executor_->Cancel(project_, thread, run.id).status())->kind, ErrorKind::kRunNotCancellable);
  EXPECT_EQ(Steps(run).at(0).status, RunStep::Status::kExpired);
}

// A reader that never reads, and one that goes: the run does not notice.
TEST_F(RunExecutorTest, AReaderThatDoesNotReadHoldsNothingUp) {
  const ThreadId thread = NewThreadSaying("hello");
  const auto run = Start(thread);
  const auto idle = storage_->run_log().Subscribe(run.id, 1);
  bool woken = false;
  auto gone = storage_->run_log().Subscribe(run.id, 1'000'000);
  gone->NotifyWhenReady([&] { woken = true; });
  gone.reset();
  WaitFor(run, RunStatus::kCompleted);
  EXPECT_FALSE(woken);
  EXPECT_EQ(idle->Take(1000)->back().kind, RunEventKind::kRunCompleted);
}

TEST_F(RunExecutorTest, AThreadThatIsDeletedFreesItsContainer) {
  const ThreadId thread = NewThreadSaying("hello");
  ASSERT_TRUE(executor_->Abandon(project_, thread).ok());
  EXPECT_THAT(code_->freed, ElementsAre(ContainerOf(thread)));
  // Without an interpreter there is nothing to free, and the thread can be deleted all the same.
  code_->delete_status = absl::UnavailableError("no interpreter");
  EXPECT_TRUE(executor_->Abandon(project_, thread).ok());
  code_->delete_status = absl::InternalError("it is still there");
  EXPECT_FALSE(executor_->Abandon(project_, thread).ok());
}

TEST_F(RunExecutorTest, NotMoreRunThanMayAndAllComplete) {
  Close();
  options_.runs_in_flight_max = 3;
  Open();
  model_->delay = absl::Milliseconds(20);
  std::vector<gateway::Run> runs;
  for (int i = 0; i < 30; ++i) runs.push_back(Start(NewThreadSaying(absl::StrCat("n", i))));
  for (const auto& run : runs) WaitFor(run, RunStatus::kCompleted);
}

TEST_F(RunExecutorTest, ThreeHundredAtOnceHoldNoThreads) {
  model_->delay = absl::Milliseconds(1000);
  std::vector<gateway::Run> runs;
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 300; ++i) runs.push_back(Start(NewThreadSaying(absl::StrCat("n", i))));
  for (const auto& run : runs) WaitFor(run, RunStatus::kCompleted);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(30));
}

TEST_F(RunExecutorTest, ARestartTakesUpWhatItFinds) {
  const auto answering = Start(NewThreadSaying("hang"));
  const auto waiting = Start(NewThreadSaying("call f {}"));
  const auto running = Start(NewThreadSaying("call code_interpreter {\"code\": \"hang\"}"));
  WaitFor(answering, RunStatus::kInProgress);
  WaitFor(waiting, RunStatus::kRequiresAction);
  WaitFor(running, RunStatus::kInProgress);
  while (Steps(running).empty() || Steps(running)[0].tool_calls.empty()) absl::SleepFor(absl::Milliseconds(2));
  Close();
  Open();
  const auto failed = WaitFor(running, RunStatus::kFailed);
  EXPECT_THAT(failed.last_error->message, HasSubstr("restarted"));
  EXPECT_EQ(Steps(running).at(0).status, RunStep::Status::kFailed);
  ASSERT_TRUE(executor_->SubmitToolOutputs(project_, waiting.thread_id, waiting.id, {{CallId("call_0"), "late"}}).ok());
  WaitFor(waiting, RunStatus::kCompleted);
  EXPECT_EQ(Answer(waiting.thread_id), "Said: late");
  // It asks the model again, which hangs again.
  while (model_->requests().size() < 2) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_TRUE(executor_->Cancel(project_, answering.thread_id, answering.id).ok());
}

TEST_F(RunExecutorTest, CancelsAndOutputsFromManyThreads) {
  std::vector<gateway::Run> runs;
  for (int i = 0; i < 60; ++i) {
    runs.push_back(Start(NewThreadSaying(i % 3 == 0   ? "call f {}"
                                         : i % 3 == 1 ? "say"
                                                      : "call code_interpreter {\"code\": \"write\"}")));
  }
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      std::mt19937 random(c);
      for (int i = 0; i < 200; ++i) {
        const gateway::Run& run = runs[random() % runs.size()];
        // Most are refused, as the run is elsewhere: none may hang or harm.
        if (random() % 4 == 0) {
          (void)executor_->Cancel(project_, run.thread_id, run.id);
        } else {
          (void)executor_->SubmitToolOutputs(project_, run.thread_id, run.id, {{CallId("call_0"), "x"}});
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  for (const auto& run : runs) {
    auto found = Get(run);
    for (const absl::Time end = absl::Now() + absl::Seconds(20); IsActive(found.status) && absl::Now() < end;) {
      if (found.status == RunStatus::kRequiresAction) (void)executor_->Cancel(project_, run.thread_id, run.id);
      absl::SleepFor(absl::Milliseconds(2));
      found = Get(run);
    }
    EXPECT_FALSE(IsActive(found.status)) << RunStatusName(found.status);
    for (const RunStep& step : Steps(run)) EXPECT_NE(step.status, RunStep::Status::kInProgress);
    for (const Message& message : Messages(run.thread_id)) EXPECT_NE(message.status, Message::Status::kInProgress);
  }
}

}  // namespace
}  // namespace carrel::gateway
