#include "gateway/backends/interpreter_code_tool.h"

#include <gmock/gmock.h>

#include <map>
#include <mutex>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "in_process_server.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::interpreter::v1;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// An interpreter without Python: what the code says is what happens.
class FakeInterpreter final : public pb::CodeInterpreter::Service {
 public:
  grpc::Status CreateSession(grpc::ServerContext*, const pb::CreateSessionRequest* request,
                             pb::Session* reply) override {
    const std::lock_guard lock(mutex);
    if (!sessions.contains(request->session_id()) && sessions.size() >= sessions_max) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "all sessions are taken"};
    }
    auto [session, made] = sessions.try_emplace(request->session_id());
    if (made) {
      session->second.set_session_id(request->session_id());
      session->second.set_owner(request->owner());
      session->second.set_state(pb::SESSION_STATE_READY);
      session->second.set_created_at_ms(++clock);
      session->second.set_last_used_at_ms(clock);
      session->second.set_predecessor(predecessor);
    }
    *reply = session->second;
    return grpc::Status::OK;
  }
  grpc::Status ListSessions(grpc::ServerContext*, const pb::ListSessionsRequest* request,
                            pb::ListSessionsResponse* reply) override {
    const std::lock_guard lock(mutex);
    for (const auto& [id, session] : sessions) {
      if (session.owner() == request->owner()) *reply->add_sessions() = session;
    }
    return grpc::Status::OK;
  }
  grpc::Status DeleteSession(grpc::ServerContext*, const pb::DeleteSessionRequest* request,
                             pb::DeleteSessionResponse* reply) override {
    const std::lock_guard lock(mutex);
    reply->set_existed(sessions.erase(request->session_id()) > 0);
    return grpc::Status::OK;
  }
  grpc::Status UploadFile(grpc::ServerContext*, grpc::ServerReader<pb::UploadFileRequest>* reader,
                          pb::File* reply) override {
    pb::UploadFileRequest message;
    std::string path;
    std::string bytes;
    while (reader->Read(&message)) {
      if (message.has_header()) path = message.header().path();
      bytes += message.data();
    }
    const std::lock_guard lock(mutex);
    ++uploads;
    if (std::exchange(evict_at_upload, false)) {
      sessions.clear();
      return {grpc::StatusCode::NOT_FOUND, "no such session"};
    }
    files[path] = bytes;
    reply->set_path(path);
    return grpc::Status::OK;
  }
  grpc::Status DownloadFile(grpc::ServerContext*, const pb::DownloadFileRequest* request,
                            grpc::ServerWriter<pb::DownloadFileResponse>* writer) override {
    pb::DownloadFileResponse part;
    part.mutable_file()->set_path(request->path());
    writer->Write(part);
    for (int i = 0; i < 3; ++i) {
      part.set_data("bytes of " + request->path() + ";");
      writer->Write(part);
    }
    return grpc::Status::OK;
  }
  grpc::Status Execute(grpc::ServerContext* context, const pb::ExecuteRequest* request,
                       grpc::ServerWriter<pb::ExecuteEvent>* writer) override {
    {
      const std::lock_guard lock(mutex);
      ++calls;
      if (!sessions.contains(request->session_id())) return {grpc::StatusCode::NOT_FOUND, "no such session"};
      if (request->code() == "dead once" && calls == 1) {
        sessions[request->session_id()].set_state(pb::SESSION_STATE_DEAD);
        return {grpc::StatusCode::FAILED_PRECONDITION, "the session is dead"};
      }
    }
    pb::ExecuteEvent event;
    event.mutable_started()->set_session_id(request->session_id());
    writer->Write(event);
    if (request->code() == "hang") {
      event.set_stdout("hanging");
      writer->Write(event);
      hanging.Notify();
      while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
      cancelled.Notify();
      return grpc::Status::CANCELLED;
    }
    if (request->code() == "cut") return grpc::Status::OK;
    if (request->code() == "vanish") return {grpc::StatusCode::UNAVAILABLE, "Socket closed"};
    event.set_stdout("out ");
    writer->Write(event);
    event.set_stderr("err");
    writer->Write(event);
    if (request->code() == "all") {
      pb::Display& display = *event.mutable_display();
      (*display.mutable_data())["text/plain"] = "<Figure>";
      (*display.mutable_data())["image/png"] = "png bytes";
      writer->Write(event);
      event.mutable_display()->clear_data();
      (*event.mutable_display()->mutable_data())["text/plain"] = "42";
      event.mutable_display()->set_is_result(true);
      writer->Write(event);
      event.mutable_artifact()->set_path("dir/a.csv");
      event.mutable_artifact()->set_size_bytes(40);
      event.mutable_artifact()->set_media_type("text/csv");
      writer->Write(event);
    }
    pb::Outcome& outcome = *event.mutable_finished();
    outcome.set_state_kept(true);
    outcome.set_kind(pb::COMPLETED);
    if (request->code() == "raise") {
      outcome.set_kind(pb::RAISED);
      outcome.mutable_exception()->set_name("ZeroDivisionError");
      outcome.mutable_exception()->set_traceback("Traceback: ZeroDivisionError");
      outcome.add_limits_touched(pb::LIMIT_OUTPUT);
      outcome.mutable_usage()->set_wall_ms(3);
    } else if (request->code() == "die") {
      outcome.set_kind(pb::MEMORY_LIMIT);
      outcome.set_message("The code used more than 1 GiB of memory.");
      outcome.set_state_kept(false);
    }
    writer->Write(event);
    return grpc::Status::OK;
  }

  std::mutex mutex;
  std::map<std::string, pb::Session> sessions;
  std::map<std::string, std::string> files;
  std::size_t sessions_max = 100;
  bool evict_at_upload = false;
  std::string predecessor;  // of sessions that are made
  int64_t clock = 0;
  int uploads = 0;
  int calls = 0;
  absl::Notification hanging;
  absl::Notification cancelled;
};

class Listener final : public CodeListener {
 public:
  void OnLogs(std::string piece) override { logs += piece; }
  void OnEnd(absl::StatusOr<CodeResult> ended) override {
    result = std::move(ended);
    done.Notify();
  }
  std::string logs;
  absl::StatusOr<CodeResult> result = absl::UnknownError("");
  absl::Notification done;
};

class InterpreterCodeToolTest : public ::testing::Test {
 protected:
  absl::StatusOr<CodeResult> Run(std::string code, std::vector<CodeFile> files = {}, std::string* logs = nullptr,
                                 std::string container = "cntr_1") {
    auto listener = std::make_shared<Listener>();
    const auto call = tool_->Start({.project = ProjectId("p"),
                                    .container = ContainerId(std::move(container)),
                                    .code = std::move(code),
                                    .files = std::move(files)},
                                   listener);
    EXPECT_TRUE(listener->done.WaitForNotificationWithTimeout(absl::Seconds(20)));
    if (logs != nullptr) *logs = listener->logs;
    return std::move(listener->result);
  }

  FakeInterpreter interpreter_;
  InProcessServer server_{interpreter_};
  std::unique_ptr<CodeTool> tool_ = MakeInterpreterCodeTool(server_.channel, *server_.files, {});
};

TEST_F(InterpreterCodeToolTest, GathersAllThatCodeMade) {
  std::string logs;
  const auto result = Run("all", {}, &logs);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->succeeded());
  EXPECT_EQ(result->text, "out err\n42\n");
  EXPECT_EQ(logs, result->text);
  ASSERT_THAT(result->images, SizeIs(1));
  EXPECT_EQ(server_.Read(result->images[0].stored.blob), "png bytes");
  EXPECT_EQ(result->images[0].path, "image-1.png");
  ASSERT_THAT(result->files, SizeIs(1));
  EXPECT_EQ(result->files[0].path, "dir/a.csv");
  EXPECT_EQ(server_.Read(result->files[0].stored.blob), "bytes of dir/a.csv;bytes of dir/a.csv;bytes of dir/a.csv;");
}

TEST_F(InterpreterCodeToolTest, HowItEndedIsInTheText) {
  const auto raised = Run("raise");
  ASSERT_TRUE(raised.ok());
  EXPECT_FALSE(raised->succeeded());
  EXPECT_FALSE(raised->state_lost);
  EXPECT_EQ(raised->ending.kind, Outcome::Kind::kRaised);
  EXPECT_EQ(raised->ending.exception, (CodeException{.name = "ZeroDivisionError"})) << "the traceback is in the text";
  EXPECT_EQ(raised->ending.limits_touched, std::vector<LimitKind>{LimitKind::kOutput});
  EXPECT_EQ(raised->ending.usage.wall_ms, 3U);
  EXPECT_THAT(raised->text, HasSubstr("ZeroDivisionError"));
  const auto died = Run("die");
  ASSERT_TRUE(died.ok());
  EXPECT_TRUE(died->state_lost);
  EXPECT_THAT(died->text, HasSubstr("1 GiB"));
}

TEST_F(InterpreterCodeToolTest, FilesAreHandedOverOnce) {
  const CodeFile file{.path = "file-1", .blob = server_.Keep("one")};
  ASSERT_TRUE(Run("x", {file}).ok());
  ASSERT_TRUE(Run("x", {file}).ok());
  EXPECT_EQ(interpreter_.uploads, 1);
  EXPECT_EQ(interpreter_.files.at("file-1"), "one");
  ASSERT_TRUE(Run("x", {{.path = "file-1", .blob = server_.Keep("two")}}).ok());
  EXPECT_EQ(interpreter_.files.at("file-1"), "two");
}

TEST_F(InterpreterCodeToolTest, ALostContainerIsMadeAnewAndSaidSo) {
  const CodeFile file{.path = "file-1", .blob = server_.Keep("one")};
  EXPECT_FALSE(Run("x", {file})->state_lost);
  {
    const std::lock_guard lock(interpreter_.mutex);
    interpreter_.sessions.clear();  // idle for too long
  }
  EXPECT_TRUE(Run("x", {file})->state_lost);
  EXPECT_EQ(interpreter_.uploads, 2);
  EXPECT_FALSE(Run("x", {file})->state_lost);
}

TEST_F(InterpreterCodeToolTest, WhatWasLostWhileTheGatewayWasDownIsSaidToo) {
  interpreter_.predecessor = "it ended at 2026-01-02T03:04:05Z: no call for 20m";
  EXPECT_TRUE(Run("x")->state_lost) << "this gateway knew nothing of it, the interpreter did";
  EXPECT_FALSE(Run("x")->state_lost);
  interpreter_.predecessor.clear();
  EXPECT_FALSE(Run("x", {}, nullptr, "cntr_2")->state_lost) << "a new thread lost nothing";
}

TEST_F(InterpreterCodeToolTest, ADeadSessionIsReplaced) {
  const auto result = Run("dead once");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->state_lost);
}

TEST_F(InterpreterCodeToolTest, AFullInterpreterGivesUpWhatRestedLongest) {
  interpreter_.sessions_max = 2;
  ASSERT_TRUE(Run("x", {}, nullptr, "cntr_1").ok());
  ASSERT_TRUE(Run("x", {}, nullptr, "cntr_2").ok());
  {
    const std::lock_guard lock(interpreter_.mutex);
    interpreter_.sessions["cntr_1"].set_last_used_at_ms(++interpreter_.clock);
  }
  const auto third = Run("x", {}, nullptr, "cntr_3");
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_FALSE(third->state_lost);
  {
    const std::lock_guard lock(interpreter_.mutex);
    EXPECT_TRUE(interpreter_.sessions.contains("cntr_1"));
    EXPECT_FALSE(interpreter_.sessions.contains("cntr_2"));
  }
  // Whose container was given up is told so.
  EXPECT_TRUE(Run("x", {}, nullptr, "cntr_2")->state_lost);
}

TEST_F(InterpreterCodeToolTest, NoContainerAtWorkNorOfAnotherProjectIsGivenUp) {
  interpreter_.sessions_max = 2;
  {
    const std::lock_guard lock(interpreter_.mutex);
    pb::Session& busy = interpreter_.sessions["busy"];
    busy.set_session_id("busy");
    busy.set_owner("p");
    busy.set_state(pb::SESSION_STATE_BUSY);
    pb::Session& other = interpreter_.sessions["other"];
    other.set_session_id("other");
    other.set_owner("another project");
    other.set_state(pb::SESSION_STATE_READY);
  }
  auto listener = std::make_shared<Listener>();
  const auto call =
      tool_->Start({.project = ProjectId("p"), .container = ContainerId("cntr_1"), .code = "x"}, listener);
  EXPECT_FALSE(listener->done.WaitForNotificationWithTimeout(absl::Milliseconds(200)));
  {
    const std::lock_guard lock(interpreter_.mutex);
    EXPECT_EQ(interpreter_.sessions.size(), 2U);
    interpreter_.sessions["busy"].set_state(pb::SESSION_STATE_READY);
  }
  // It has waited for the work to end.
  ASSERT_TRUE(listener->done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_TRUE(listener->result.ok()) << listener->result.status();
  const std::lock_guard lock(interpreter_.mutex);
  EXPECT_TRUE(interpreter_.sessions.contains("other"));
}

TEST_F(InterpreterCodeToolTest, TheWaitForASessionEndsAndCanBeCancelled) {
  interpreter_.sessions_max = 0;
  tool_ = MakeInterpreterCodeTool(server_.channel, *server_.files, {.session_wait_max = absl::Milliseconds(100)});
  const auto result = Run("x");
  EXPECT_TRUE(absl::IsResourceExhausted(result.status())) << result.status();

  tool_ = MakeInterpreterCodeTool(server_.channel, *server_.files, {.session_wait_max = absl::Minutes(10)});
  auto listener = std::make_shared<Listener>();
  auto call = tool_->Start({.container = ContainerId("c"), .code = "x"}, listener);
  absl::SleepFor(absl::Milliseconds(50));
  call.reset();
  tool_.reset();  // ends its threads: none of them waits on
  EXPECT_FALSE(listener->done.HasBeenNotified());
}

TEST_F(InterpreterCodeToolTest, ASessionThatEndsAmidUploadsIsMadeAnew) {
  const CodeFile file{.path = "file-1", .blob = server_.Keep("one")};
  ASSERT_TRUE(Run("x").ok());
  interpreter_.evict_at_upload = true;
  const auto result = Run("x", {file});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->state_lost);
  EXPECT_EQ(interpreter_.uploads, 2);
}

TEST_F(InterpreterCodeToolTest, AnInterpreterThatDiesAmidACallIsSaidAndTheCodeNotRunAgain) {
  const auto result = Run("vanish");
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("went away while the code ran"));
  EXPECT_EQ(interpreter_.calls, 1);
}

TEST_F(InterpreterCodeToolTest, AnAnswerWithoutAnEndIsAnError) { EXPECT_FALSE(Run("cut").ok()); }

TEST_F(InterpreterCodeToolTest, CancelInterruptsAndIsSilent) {
  auto listener = std::make_shared<Listener>();
  auto call = tool_->Start({.container = ContainerId("c"), .code = "hang"}, listener);
  ASSERT_TRUE(interpreter_.hanging.WaitForNotificationWithTimeout(absl::Seconds(20)));
  call.reset();
  EXPECT_TRUE(interpreter_.cancelled.WaitForNotificationWithTimeout(absl::Seconds(5)));
  EXPECT_FALSE(listener->done.HasBeenNotified());
}

TEST_F(InterpreterCodeToolTest, EndingTheToolEndsItsCalls) {
  auto listener = std::make_shared<Listener>();
  auto call = tool_->Start({.container = ContainerId("c"), .code = "hang"}, listener);
  ASSERT_TRUE(interpreter_.hanging.WaitForNotificationWithTimeout(absl::Seconds(20)));
  tool_.reset();
  EXPECT_TRUE(interpreter_.cancelled.WaitForNotificationWithTimeout(absl::Seconds(5)));
}

TEST_F(InterpreterCodeToolTest, WhenNobodyAnswersItSaysSo) {
  const auto tool = MakeInterpreterCodeTool(
      grpc::CreateChannel("unix:/does/not/exist", grpc::InsecureChannelCredentials()), *server_.files, {});
  auto listener = std::make_shared<Listener>();
  const auto call = tool->Start({.container = ContainerId("c"), .code = "x"}, listener);
  ASSERT_TRUE(listener->done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_TRUE(absl::IsUnavailable(listener->result.status())) << listener->result.status();
  EXPECT_THAT(std::string(listener->result.status().message()), HasSubstr("cannot be reached; is it running?"));
}

}  // namespace
}  // namespace carrel::gateway
