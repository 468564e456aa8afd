// What a run does, from its start to its end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "gateway/types/error.h"
#include "run_executor_fixture.h"

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

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

}  // namespace
}  // namespace carrel::gateway
