#include "gateway/storage/sqlite_storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const ProjectId kOurs("ours");
const ProjectId kTheirs("theirs");

class SqliteStorageTest : public ::testing::Test {
 protected:
  SqliteStorageTest() {
    directory_ = std::filesystem::temp_directory_path() / absl::StrCat("gateway-storage-", getpid(), "-", counter_++);
    std::filesystem::create_directories(directory_);
    Open();
  }
  ~SqliteStorageTest() override {
    storage_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    storage_.reset();
    auto opened = SqliteStorage::Open({.path = directory_ / "gateway.db", .sync = SqliteStorage::Sync::kNormal});
    ASSERT_TRUE(opened.ok()) << opened.status();
    storage_ = *std::move(opened);
  }
  Repository& repository() { return storage_->repository(); }
  RunLog& log() { return storage_->run_log(); }

  template <typename F>
  absl::Status Write(F work) {
    return repository().Write(work);
  }
  template <typename T, typename F>
  absl::StatusOr<T> Read(F get) {
    absl::StatusOr<T> result = absl::UnknownError("not read");
    absl::Status status = repository().Read([&](const Snapshot& s) -> absl::Status {
      result = get(s);
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return result;
  }

  static Thread NewThread(const std::string& id) { return {.id = ThreadId(id), .project = kOurs}; }
  static Message NewMessage(const std::string& id, const std::string& thread) {
    return {.id = MessageId(id), .project = kOurs, .thread_id = ThreadId(thread), .content = {{.text = id}}};
  }
  static gateway::Run NewRun(const std::string& id, RunStatus status) {
    return {.id = RunId(id), .project = kOurs, .thread_id = ThreadId("thread_1"), .status = status};
  }
  // A thread and a queued run on it.
  void StartRun(const std::string& id) {
    ASSERT_TRUE(Write([&](Transaction& t) -> absl::Status {
                  GATEWAY_RETURN_IF_ERROR(t.PutThread(NewThread("thread_1")));
                  return t.Append(RunId(id),
                                  {{.kind = RunEventKind::kRunCreated, .payload = NewRun(id, RunStatus::kQueued)}});
                }).ok());
  }

  std::filesystem::path directory_;
  std::unique_ptr<SqliteStorage> storage_;
  static inline int counter_ = 0;
};

TEST_F(SqliteStorageTest, AnObjectComesBackWholeAfterAReopen) {
  Assistant assistant{.id = AssistantId("asst_1"),
                      .project = kOurs,
                      .created_at = absl::FromUnixSeconds(1700000000),
                      .name = "N\u00f6rd",
                      .model = "m",
                      .tools = {{.kind = ToolKind::kFunction,
                                 .function = {.name = "f", .parameters = {R"({"type":"object"})"}, .strict = true}}},
                      .tool_resources = {.code_files = std::vector<FileId>{FileId("file-1")}},
                      .metadata = {{"a", "b"}},
                      .temperature = 0.25};
  ASSERT_TRUE(Write([&](Transaction& t) { return t.PutAssistant(assistant); }).ok());
  Open();
  auto read = Read<Assistant>([](const Snapshot& s) { return s.GetAssistant(kOurs, AssistantId("asst_1")); });
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name, assistant.name);
  EXPECT_EQ(read->description, std::nullopt);
  EXPECT_EQ(read->tools, assistant.tools);
  EXPECT_EQ(read->tool_resources, assistant.tool_resources);
  EXPECT_EQ(read->metadata, assistant.metadata);
  EXPECT_EQ(read->temperature, 0.25);
  EXPECT_EQ(read->created_at, assistant.created_at);
}

TEST_F(SqliteStorageTest, AnotherProjectSeesNothing) {
  ASSERT_TRUE(Write([&](Transaction& t) -> absl::Status {
                GATEWAY_RETURN_IF_ERROR(t.PutThread(NewThread("thread_1")));
                return t.PutMessage(NewMessage("msg_1", "thread_1"));
              }).ok());
  auto thread = Read<Thread>([](const Snapshot& s) { return s.GetThread(kTheirs, ThreadId("thread_1")); });
  ASSERT_TRUE(ErrorOf(thread.status()).has_value());
  EXPECT_EQ(ErrorOf(thread.status())->kind, ErrorKind::kObjectMissing);
  auto message =
      Read<Message>([](const Snapshot& s) { return s.GetMessage(kTheirs, ThreadId("thread_1"), MessageId("msg_1")); });
  EXPECT_TRUE(ErrorOf(message.status()).has_value());
  auto page =
      Read<Page<Message>>([](const Snapshot& s) { return s.ListMessages(kTheirs, ThreadId("thread_1"), {}, {}); });
  EXPECT_THAT(page->items, IsEmpty());
  EXPECT_TRUE(Write([](Transaction& t) { return t.DeleteThread(kTheirs, ThreadId("thread_1")); }).ok());
  EXPECT_TRUE(Read<Thread>([](const Snapshot& s) { return s.GetThread(kOurs, ThreadId("thread_1")); }).ok());
}

TEST_F(SqliteStorageTest, PagesFollowTheOrderOfMakingInBothDirections) {
  ASSERT_TRUE(Write([&](Transaction& t) -> absl::Status {
                GATEWAY_RETURN_IF_ERROR(t.PutThread(NewThread("thread_1")));
                for (int i = 0; i < 5; ++i) {
                  GATEWAY_RETURN_IF_ERROR(t.PutMessage(NewMessage(absl::StrCat("msg_", i), "thread_1")));
                }
                // A message that is written again keeps its place.
                return t.PutMessage(NewMessage("msg_1", "thread_1"));
              }).ok());
  auto ids = [&](PageRequest request, bool has_more) {
    auto page = Read<Page<Message>>(
        [&](const Snapshot& s) { return s.ListMessages(kOurs, ThreadId("thread_1"), {}, request); });
    std::vector<std::string> found;
    for (const Message& message : page->items) found.push_back(message.id.value);
    EXPECT_EQ(page->has_more, has_more);
    return found;
  };
  EXPECT_THAT(ids({.limit = 2}, true), ElementsAre("msg_4", "msg_3"));
  EXPECT_THAT(ids({.limit = 2, .after = "msg_3"}, true), ElementsAre("msg_2", "msg_1"));
  EXPECT_THAT(ids({.limit = 2, .after = "msg_1"}, false), ElementsAre("msg_0"));
  EXPECT_THAT(ids({.limit = 2, .after = "msg_0"}, false), IsEmpty());
  EXPECT_THAT(ids({.limit = 3, .ascending = true, .after = "msg_1"}, false), ElementsAre("msg_2", "msg_3", "msg_4"));
  EXPECT_THAT(ids({.limit = 2, .ascending = true, .before = "msg_3"}, true), ElementsAre("msg_1", "msg_2"));
  EXPECT_THAT(ids({.limit = 2, .before = "msg_1"}, true), ElementsAre("msg_3", "msg_2"));
  auto unknown = Read<Page<Message>>(
      [](const Snapshot& s) { return s.ListMessages(kOurs, ThreadId("thread_1"), {}, {.after = "msg_9"}); });
  EXPECT_EQ(ErrorOf(unknown.status())->param, "after");
}

TEST_F(SqliteStorageTest, WhoDeletesWhileHePagesCanGoOn) {
  ASSERT_TRUE(Write([](Transaction& t) -> absl::Status {
                for (int i = 0; i < 4; ++i) {
                  GATEWAY_RETURN_IF_ERROR(
                      t.PutAssistant({.id = AssistantId(absl::StrCat("asst_", i)), .project = kOurs, .model = "m"}));
                }
                GATEWAY_RETURN_IF_ERROR(t.DeleteAssistant(kOurs, AssistantId("asst_3")));
                return t.DeleteAssistant(kOurs, AssistantId("asst_2"));
              }).ok());
  auto page = Read<Page<Assistant>>([](const Snapshot& s) { return s.ListAssistants(kOurs, {.after = "asst_2"}); });
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->items.size(), 2u);
  EXPECT_EQ(page->items.front().id.value, "asst_1");
}

TEST_F(SqliteStorageTest, AWriteThatFailsLeavesNothingAndDisturbsNobody) {
  absl::Status failed = Write([](Transaction& t) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(t.PutThread(NewThread("thread_gone")));
    return absl::AbortedError("no");
  });
  EXPECT_TRUE(absl::IsAborted(failed));
  EXPECT_FALSE(Read<Thread>([](const Snapshot& s) { return s.GetThread(kOurs, ThreadId("thread_gone")); }).ok());
  std::vector<std::thread> writers;
  std::atomic<int> good = 0;
  for (int i = 0; i < 64; ++i) {
    writers.emplace_back([&, i] {
      bool ok = Write([i](Transaction& t) -> absl::Status {
                  GATEWAY_RETURN_IF_ERROR(t.PutThread(NewThread(absl::StrCat("thread_", i))));
                  return i % 2 == 0 ? absl::OkStatus() : absl::AbortedError("no");
                }).ok();
      if (ok) ++good;
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(good, 32);
  EXPECT_TRUE(Read<Thread>([](const Snapshot& s) { return s.GetThread(kOurs, ThreadId("thread_2")); }).ok());
  EXPECT_FALSE(Read<Thread>([](const Snapshot& s) { return s.GetThread(kOurs, ThreadId("thread_3")); }).ok());
}

TEST_F(SqliteStorageTest, OneRunAtATimeHoldsAThread) {
  StartRun("run_1");
  EXPECT_FALSE(Write([](Transaction& t) { return t.PutRun(NewRun("run_2", RunStatus::kQueued)); }).ok());
  auto active =
      Read<std::optional<gateway::Run>>([](const Snapshot& s) { return s.ActiveRun(kOurs, ThreadId("thread_1")); });
  EXPECT_EQ((*active)->id.value, "run_1");
  EXPECT_TRUE(Write([](Transaction& t) { return t.PutRun(NewRun("run_1", RunStatus::kCompleted)); }).ok());
  EXPECT_TRUE(Write([](Transaction& t) { return t.PutRun(NewRun("run_2", RunStatus::kQueued)); }).ok());
}

TEST_F(SqliteStorageTest, ARunsLogIsReadInOrderAndItsEventsAreTheStoredState) {
  StartRun("run_1");
  std::unique_ptr<RunSubscription> reader = log().Subscribe(RunId("run_1"), 1);
  RunStep step{.id = StepId("step_1"), .project = kOurs, .run_id = RunId("run_1"), .thread_id = ThreadId("thread_1")};
  step.tool_calls = {
      {.kind = ToolKind::kCodeInterpreter,
       .ending = Outcome{.kind = Outcome::Kind::kRaised,
                         .exception = CodeException{.name = "ValueError"},
                         .limits_touched = {LimitKind::kOutput},
                         .usage = {.cpu_ms = 7},
                         .skipped = {{.path = "a", .reason = "symlink"}}}},
      {.kind = ToolKind::kFileSearch,
       .search_results = {{.parts = {.text_rank = 2},
                           .passage_span = {.begin = 1, .end = 5},
                           .citations = {{.span = {.begin = 2, .end = 4}, .boxes = {{.page = 3, .y_max = 1.5}}}}}}}};
  absl::Notification done;
  log().Append(RunId("run_1"),
               {{.kind = RunEventKind::kRunInProgress, .payload = NewRun("run_1", RunStatus::kInProgress)},
                {.kind = RunEventKind::kStepCreated, .payload = step}},
               RunLog::Publish::kAtOnce, nullptr);
  log().Append(RunId("run_1"), {{.kind = RunEventKind::kMessageDelta, .payload = MessageDelta{.text = "a"}}},
               RunLog::Publish::kAtOnce, nullptr);
  log().Append(RunId("run_1"),
               {{.kind = RunEventKind::kRunCompleted, .payload = NewRun("run_1", RunStatus::kCompleted)}},
               RunLog::Publish::kWhenDurable, [&](const absl::Status& status) {
                 EXPECT_TRUE(status.ok()) << status;
                 done.Notify();
               });
  done.WaitForNotification();
  auto events = reader->Wait(100, absl::Now() + absl::Seconds(5));
  ASSERT_TRUE(events.ok());
  std::vector<RunEventKind> kinds;
  for (size_t i = 0; i < events->size(); ++i) {
    EXPECT_EQ((*events)[i].sequence, i + 1);
    kinds.push_back((*events)[i].kind);
  }
  EXPECT_THAT(kinds, ElementsAre(RunEventKind::kRunCreated, RunEventKind::kRunInProgress, RunEventKind::kStepCreated,
                                 RunEventKind::kMessageDelta, RunEventKind::kRunCompleted));
  Open();
  EXPECT_EQ(Read<gateway::Run>([](const Snapshot& s) {
              return s.GetRun(kOurs, ThreadId("thread_1"), RunId("run_1"));
            })->status,
            RunStatus::kCompleted);
  const auto kept = Read<RunStep>(
      [](const Snapshot& s) { return s.GetStep(kOurs, ThreadId("thread_1"), RunId("run_1"), StepId("step_1")); });
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(kept->tool_calls, step.tool_calls);
  // Deltas are not stored: the numbers go on after the last event that is.
  EXPECT_EQ(log().NextSequence(RunId("run_1")), 6u);
  EXPECT_THAT(Read<std::vector<gateway::Run>>([](const Snapshot& s) { return s.AllActiveRuns(); }).value(), IsEmpty());
}

TEST_F(SqliteStorageTest, AReaderIsWokenOnceAndEventsThatWereRolledBackAreNotShown) {
  StartRun("run_1");
  std::unique_ptr<RunSubscription> reader = log().Subscribe(RunId("run_1"), 2);
  EXPECT_THAT(*reader->Take(10), IsEmpty());
  absl::Notification ready;
  reader->NotifyWhenReady([&] { ready.Notify(); });
  EXPECT_FALSE(Write([](Transaction& t) -> absl::Status {
                 GATEWAY_RETURN_IF_ERROR(t.Append(RunId("run_1"), {{.kind = RunEventKind::kRunExpired,
                                                                    .payload = NewRun("run_1", RunStatus::kExpired)}}));
                 return absl::AbortedError("no");
               }).ok());
  EXPECT_FALSE(ready.HasBeenNotified());
  log().Append(RunId("run_1"), {{.kind = RunEventKind::kStepDelta, .payload = StepDelta{.code = "x"}}},
               RunLog::Publish::kAtOnce, nullptr);
  EXPECT_TRUE(ready.WaitForNotificationWithTimeout(absl::Seconds(5)));
  auto events = reader->Take(10);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->front().kind, RunEventKind::kStepDelta);
}

// Memory is bounded however much a run says and however slowly it is read; the run is not.
TEST_F(SqliteStorageTest, AReaderTooSlowIsToldSoAndTheOthersLoseNothing) {
  StartRun("run_1");
  const std::unique_ptr<RunSubscription> slow = log().Subscribe(RunId("run_1"), 1);
  const std::unique_ptr<RunSubscription> keen = log().Subscribe(RunId("run_1"), 1);
  const std::string piece(1 << 20, 'x');
  size_t read = keen->Take(100)->size();
  constexpr size_t kPieces = 40;  // more than a channel keeps
  for (size_t i = 0; i < kPieces; ++i) {
    log().Append(RunId("run_1"), {{.kind = RunEventKind::kMessageDelta, .payload = MessageDelta{.text = piece}}},
                 RunLog::Publish::kAtOnce, nullptr);
    const auto taken = keen->Take(100);
    ASSERT_TRUE(taken.ok()) << taken.status();
    read += taken->size();
  }
  EXPECT_EQ(read, kPieces + 1);
  EXPECT_TRUE(absl::IsDataLoss(slow->Take(100).status()));
  // It is woken for that, too, and does not wait for an event that it could not read.
  absl::Notification ready;
  slow->NotifyWhenReady([&] { ready.Notify(); });
  EXPECT_TRUE(ready.HasBeenNotified());
}

TEST_F(SqliteStorageTest, ProgressIsSeenAtOnceAndStoredSoonWithoutCompany) {
  StartRun("run_1");
  const std::unique_ptr<RunSubscription> reader = log().Subscribe(RunId("run_1"), 2);
  absl::Notification stored;
  log().Append(RunId("run_1"),
               {{.kind = RunEventKind::kRunInProgress, .payload = NewRun("run_1", RunStatus::kInProgress)}},
               RunLog::Publish::kAtOnce, [&](const absl::Status& status) {
                 EXPECT_TRUE(status.ok()) << status;
                 stored.Notify();
               });
  EXPECT_EQ(reader->Take(10)->size(), 1u);
  ASSERT_TRUE(stored.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_EQ(Read<gateway::Run>([](const Snapshot& s) {
              return s.GetRun(kOurs, ThreadId("thread_1"), RunId("run_1"));
            })->status,
            RunStatus::kInProgress);
  // A write that somebody waits for takes what was before it along.
  log().Append(RunId("run_1"),
               {{.kind = RunEventKind::kRunCompleted, .payload = NewRun("run_1", RunStatus::kCompleted)}},
               RunLog::Publish::kAtOnce, nullptr);
  EXPECT_TRUE(Write([](Transaction& t) -> absl::Status {
                GATEWAY_ASSIGN_OR_RETURN(const gateway::Run run, t.GetRun(kOurs, ThreadId("thread_1"), RunId("run_1")));
                return run.status == RunStatus::kCompleted ? absl::OkStatus() : absl::InternalError("not applied yet");
              }).ok());
}

TEST_F(SqliteStorageTest, ADeletedThreadTakesAllWithItAndCannotComeBackThroughItsRun) {
  StartRun("run_1");
  ASSERT_TRUE(Write([](Transaction& t) { return t.DeleteThread(kOurs, ThreadId("thread_1")); }).ok());
  absl::Notification done;
  log().Append(RunId("run_1"),
               {{.kind = RunEventKind::kRunCompleted, .payload = NewRun("run_1", RunStatus::kCompleted)}},
               RunLog::Publish::kWhenDurable, [&](const absl::Status& status) {
                 EXPECT_FALSE(status.ok());
                 done.Notify();
               });
  done.WaitForNotification();
  EXPECT_THAT(Read<std::vector<gateway::Run>>([](const Snapshot& s) { return s.AllActiveRuns(); }).value(), IsEmpty());
}

TEST_F(SqliteStorageTest, AStoreCountsItsFiles) {
  auto file = [](const std::string& id, StoreFileStatus status, uint64_t bytes) {
    return VectorStoreFile{.store_id = StoreId("vs_1"),
                           .file_id = FileId(id),
                           .project = kOurs,
                           .status = status,
                           .usage_bytes = bytes,
                           .attributes = {{"year", 2024.0}, {"draft", true}, {"by", std::string("x")}}};
  };
  ASSERT_TRUE(Write([&](Transaction& t) -> absl::Status {
                GATEWAY_RETURN_IF_ERROR(t.PutStore({.id = StoreId("vs_1"), .project = kOurs}));
                GATEWAY_RETURN_IF_ERROR(t.PutStoreFile(file("file-1", StoreFileStatus::kCompleted, 100)));
                GATEWAY_RETURN_IF_ERROR(t.PutStoreFile(file("file-2", StoreFileStatus::kCompleted, 20)));
                return t.PutStoreFile(file("file-3", StoreFileStatus::kInProgress, 0));
              }).ok());
  auto store = Read<VectorStore>([](const Snapshot& s) { return s.GetStore(kOurs, StoreId("vs_1")); });
  EXPECT_EQ(store->counts.completed, 2);
  EXPECT_EQ(store->counts.total(), 3);
  EXPECT_EQ(store->usage_bytes, 120u);
  EXPECT_EQ(store->status(), VectorStore::Status::kInProgress);
  auto pending = Read<std::vector<VectorStoreFile>>([](const Snapshot& s) { return s.AllPendingStoreFiles(); });
  ASSERT_EQ(pending->size(), 1u);
  EXPECT_EQ(pending->front().attributes, file("", StoreFileStatus::kFailed, 0).attributes);
}

TEST_F(SqliteStorageTest, ContainersAreFoundByNameAndForgottenByAge) {
  const auto container = [](const std::string& id, const ProjectId& project, int64_t used_at) {
    return Container{.id = ContainerId(id),
                     .project = project,
                     .last_active_at = absl::FromUnixSeconds(used_at),
                     .name = "work",
                     .limits = {.memory_bytes = 5},
                     .idle_ms = 7,
                     .user_files = {"a"}};
  };
  ASSERT_TRUE(Write([&](Transaction& t) -> absl::Status {
                GATEWAY_RETURN_IF_ERROR(t.PutContainer(container("cntr_1", kOurs, 10)));
                GATEWAY_RETURN_IF_ERROR(t.PutContainer(container("cntr_2", kOurs, 30)));
                return t.PutContainer(container("cntr_3", kTheirs, 20));
              }).ok());
  Open();
  const auto found = Read<std::optional<Container>>([](const Snapshot& s) { return s.FindContainer(kOurs, "work"); });
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->id.value, "cntr_2") << "the youngest";
  EXPECT_EQ((*found)->limits.memory_bytes, 5u);
  EXPECT_EQ((*found)->user_files, std::vector<std::string>{"a"});
  EXPECT_FALSE(Read<Container>([](const Snapshot& s) { return s.GetContainer(kOurs, ContainerId("cntr_3")); }).ok());
  ASSERT_TRUE(Write([](Transaction& t) { return t.ForgetContainers(absl::FromUnixSeconds(25)); }).ok());
  EXPECT_EQ(Read<Page<Container>>([](const Snapshot& s) {
              return s.ListContainers(kOurs, {.name = "work"}, {});
            })->items.size(),
            1u);
  EXPECT_TRUE(
      Read<Page<Container>>([](const Snapshot& s) { return s.ListContainers(kTheirs, {}, {}); })->items.empty());
}

TEST_F(SqliteStorageTest, PartsOfUploadsHoldTheirBytes) {
  const FileUpload upload{.id = UploadId("upload_1"),
                          .project = kOurs,
                          .expires_at = absl::FromUnixSeconds(50),
                          .bytes = 3,
                          .file_lives_s = 3600};
  ASSERT_TRUE(Write([&](Transaction& t) -> absl::Status {
                GATEWAY_RETURN_IF_ERROR(t.PutUpload(upload));
                return t.PutUploadPart({.id = PartId("part_1"),
                                        .upload_id = upload.id,
                                        .project = kOurs,
                                        .blob = {.sha256 = "abc", .size_bytes = 3}});
              }).ok());
  const auto used = [&] { return *Read<bool>([](const Snapshot& s) { return s.IsBlobUsed("abc"); }); };
  EXPECT_TRUE(used());
  EXPECT_THAT(*Read<std::vector<std::string>>([](const Snapshot& s) { return s.AllBlobs(); }), ElementsAre("abc"));
  const auto due = [&](int64_t at) {
    return Read<std::vector<FileUpload>>(
               [&](const Snapshot& s) { return s.UploadsToExpire(absl::FromUnixSeconds(at)); })
        ->size();
  };
  EXPECT_EQ(due(49), 0u);
  EXPECT_EQ(due(50), 1u);
  ASSERT_TRUE(Write([&](Transaction& t) -> absl::Status {
                FileUpload ended = upload;
                ended.status = FileUpload::Status::kExpired;
                GATEWAY_RETURN_IF_ERROR(t.PutUpload(ended));
                return t.DeleteUploadParts(kOurs, upload.id);
              }).ok());
  EXPECT_EQ(due(50), 0u);
  EXPECT_FALSE(used());
  EXPECT_FALSE(Read<FileUpload>([&](const Snapshot& s) { return s.GetUpload(kTheirs, upload.id); }).ok());
}

}  // namespace
}  // namespace carrel::gateway
