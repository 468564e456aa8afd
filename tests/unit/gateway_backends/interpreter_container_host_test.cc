#include "gateway/backends/interpreter_container_host.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>

#include <atomic>
#include <map>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "gateway/messages/interpreter.h"
#include "in_process_server.h"
#include "rpc/status.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::interpreter::v1;
using google::protobuf::util::MessageDifferencer;
using ::testing::SizeIs;

pb::Outcome EveryField() {
  pb::Outcome outcome;
  outcome.set_kind(pb::TIME_LIMIT);
  outcome.set_message("over the time limit");
  outcome.mutable_exception()->set_name("KeyboardInterrupt");
  outcome.mutable_exception()->set_value("v");
  outcome.mutable_exception()->set_traceback("t");
  outcome.set_exit_code(3);
  outcome.set_signal(9);
  outcome.set_limit(pb::LIMIT_WALL);
  outcome.set_limit_value(500);
  outcome.add_limits_touched(pb::LIMIT_OUTPUT);
  outcome.set_state_kept(true);
  outcome.mutable_usage()->set_wall_ms(1);
  outcome.mutable_usage()->set_cpu_ms(2);
  outcome.mutable_usage()->set_memory_peak_bytes(3);
  outcome.mutable_usage()->set_stdout_bytes(4);
  outcome.mutable_usage()->set_stderr_bytes(5);
  outcome.mutable_usage()->set_display_bytes(6);
  outcome.add_skipped()->set_path("p");
  outcome.mutable_skipped(0)->set_reason("symlink");
  outcome.add_removed("r");
  outcome.set_isolation("full");
  outcome.add_weakened("memory: watchdog");
  return outcome;
}

pb::ExecuteEvent EventOf(const std::function<void(pb::ExecuteEvent&)>& fill) {
  pb::ExecuteEvent event;
  fill(event);
  return event;
}

std::vector<pb::ExecuteEvent> EveryEvent() {
  return {EventOf([](auto& event) {
            event.mutable_started()->set_session_id("cntr_1");
            event.mutable_started()->set_queued_ms(7);
            event.mutable_started()->set_linger_ms(8);
          }),
          EventOf([](auto& event) { event.set_stdout("out"); }),
          EventOf([](auto& event) { event.set_stderr("err"); }),
          EventOf([](auto& event) {
            (*event.mutable_display()->mutable_data())["image/png"] = std::string("\0png", 4);
            event.mutable_display()->set_is_result(true);
          }),
          EventOf([](auto& event) {
            event.mutable_artifact()->set_path("a/b.csv");
            event.mutable_artifact()->set_size_bytes(3);
            event.mutable_artifact()->set_media_type("text/csv");
            event.mutable_artifact()->set_sha256("5e");
            event.mutable_artifact()->set_content("1,2");
          }),
          EventOf([](auto& event) { *event.mutable_finished() = EveryField(); })};
}

class FakeInterpreter final : public pb::CodeInterpreter::Service {
 public:
  grpc::Status CreateSession(grpc::ServerContext* context, const pb::CreateSessionRequest* request,
                             pb::Session* reply) override {
    created = *request;
    if (request->limits().wall_ms() == 1) {
      return rpc::ToGrpc(rpc::InvalidField("limits.wall_ms", "1", "2 or more"), *context);
    }
    reply->set_session_id(request->session_id());
    reply->set_state(pb::SESSION_STATE_BUSY);
    *reply->mutable_limits() = request->limits();
    reply->set_calls(4);
    return grpc::Status::OK;
  }
  grpc::Status GetSession(grpc::ServerContext*, const pb::GetSessionRequest*, pb::Session*) override {
    return {grpc::StatusCode::NOT_FOUND, "no session"};
  }
  grpc::Status UploadFile(grpc::ServerContext*, grpc::ServerReader<pb::UploadFileRequest>* reader,
                          pb::File* reply) override {
    pb::UploadFileRequest message;
    std::string got;
    while (reader->Read(&message)) {
      if (message.has_header()) header = message.header();
      got += message.data();
    }
    bytes = got;
    reply->set_path(header.path());
    reply->set_size_bytes(got.size());
    return grpc::Status::OK;
  }
  grpc::Status DownloadFile(grpc::ServerContext*, const pb::DownloadFileRequest* request,
                            grpc::ServerWriter<pb::DownloadFileResponse>* writer) override {
    if (request->path() == "none") return {grpc::StatusCode::NOT_FOUND, "no such file"};
    pb::DownloadFileResponse part;
    part.mutable_file()->set_path(request->path());
    part.mutable_file()->set_size_bytes(bytes.size());
    writer->Write(part);
    for (size_t at = 0; at < bytes.size(); at += 1000) {
      part.set_data(bytes.substr(at, 1000));
      writer->Write(part);
    }
    return request->path() == "torn" ? grpc::Status(grpc::StatusCode::ABORTED, "torn") : grpc::Status::OK;
  }
  grpc::Status ExportWorkspace(grpc::ServerContext*, const pb::ExportWorkspaceRequest* request,
                               grpc::ServerWriter<pb::ExportWorkspaceResponse>* writer) override {
    pb::ExportWorkspaceResponse part;
    for (size_t at = 0; at < bytes.size(); at += 1000) {
      part.set_data(bytes.substr(at, 1000));
      writer->Write(part);
    }
    if (request->session_id() == "torn") return {grpc::StatusCode::ABORTED, "torn"};
    if (request->session_id() == "cut") return grpc::Status::OK;
    *part.mutable_summary() = Summary();
    writer->Write(part);
    return grpc::Status::OK;
  }
  grpc::Status ImportWorkspace(grpc::ServerContext*, grpc::ServerReader<pb::ImportWorkspaceRequest>* reader,
                               pb::ImportWorkspaceResponse* reply) override {
    pb::ImportWorkspaceRequest message;
    bytes.clear();
    while (reader->Read(&message)) {
      if (message.has_header()) imported = message.header();
      bytes += message.data();
    }
    *reply->mutable_summary() = Summary();
    return grpc::Status::OK;
  }
  static pb::WorkspaceSummary Summary() {
    pb::WorkspaceSummary summary;
    summary.set_files(2);
    summary.set_directories(1);
    summary.set_bytes(7);
    summary.add_skipped()->set_path("link");
    summary.mutable_skipped(0)->set_reason("symlink");
    return summary;
  }
  grpc::Status Execute(grpc::ServerContext* context, const pb::ExecuteRequest* request,
                       grpc::ServerWriter<pb::ExecuteEvent>* writer) override {
    executed = *request;
    for (const pb::ExecuteEvent& event : EveryEvent()) {
      if (event.has_finished() && request->code() == "hang") {
        while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
        cancelled.Notify();
        return grpc::Status::CANCELLED;
      }
      if (event.has_finished() && request->code() == "cut") return grpc::Status::OK;
      writer->Write(event);
    }
    return grpc::Status::OK;
  }

  pb::CreateSessionRequest created;
  pb::ExecuteRequest executed;
  pb::UploadFileHeader header;
  pb::ImportWorkspaceHeader imported;
  std::string bytes;
  absl::Notification cancelled;
};

class InterpreterContainerHostTest : public ::testing::Test {
 protected:
  const ProjectId project_{"p"};
  const ContainerId id_{"cntr_1"};
  FakeInterpreter interpreter_;
  InProcessServer server_{interpreter_};
  std::unique_ptr<ContainerHost> host_ = MakeInterpreterContainerHost(server_.channel, {});
};

TEST(InterpreterMessages, NothingIsLostOnTheWayThrough) {
  for (const pb::ExecuteEvent& event : EveryEvent()) {
    const auto value = FromProto(event);
    ASSERT_TRUE(value.has_value());
    const pb::ExecuteEvent again = ToProto(*value);
    EXPECT_TRUE(MessageDifferencer::Equals(event, again)) << event.DebugString() << again.DebugString();
  }
  pb::Limits limits;
  const auto* fields = pb::Limits::descriptor();
  for (int i = 0; i < fields->field_count(); ++i) {
    limits.GetReflection()->SetUInt64(&limits, fields->field(i), static_cast<uint64_t>(i + 1));
  }
  EXPECT_TRUE(MessageDifferencer::Equals(limits, ToProto(FromProto(limits))));
  for (int kind = pb::COMPLETED; kind <= pb::INTERNAL; ++kind) {
    pb::Outcome outcome;
    outcome.set_kind(static_cast<pb::OutcomeKind>(kind));
    EXPECT_EQ(ToProto(FromProto(outcome)).kind(), kind);
    EXPECT_EQ(NameOf(FromProto(outcome).kind), pb::OutcomeKind_Name(static_cast<pb::OutcomeKind>(kind)));
  }
  for (int limit = pb::LIMIT_WALL; limit <= pb::LIMIT_SESSION_CPU; ++limit) {
    pb::Outcome outcome;
    outcome.set_limit(static_cast<pb::LimitName>(limit));
    EXPECT_EQ(NameOf(*FromProto(outcome).limit), pb::LimitName_Name(static_cast<pb::LimitName>(limit)));
  }
}

TEST(InterpreterMessages, WhatANewerServiceSaysIsNotMisread) {
  pb::Outcome outcome;
  outcome.set_kind(static_cast<pb::OutcomeKind>(99));
  outcome.set_limit(static_cast<pb::LimitName>(99));
  EXPECT_EQ(FromProto(outcome).kind, Outcome::Kind::kInternal);
  EXPECT_FALSE(FromProto(outcome).limit.has_value());
  EXPECT_FALSE(FromProto(pb::ExecuteEvent()).has_value());
}

TEST_F(InterpreterContainerHostTest, ASessionIsMadeAsItWasAskedFor) {
  const auto live = host_->Create(
      project_, {.id = id_, .runtime = "python", .limits = {.memory_bytes = 5}, .idle_timeout = absl::Minutes(1)});
  ASSERT_TRUE(live.ok()) << live.status();
  EXPECT_EQ(interpreter_.created.owner(), "p");
  EXPECT_EQ(interpreter_.created.session_id(), "cntr_1");
  EXPECT_EQ(interpreter_.created.idle_timeout_ms(), 60'000U);
  EXPECT_EQ(live->state, LiveContainer::State::kBusy);
  EXPECT_EQ(live->limits.memory_bytes, 5U);
  EXPECT_EQ(live->calls, 4U);
  // The service's complaint about a field comes through whole.
  const auto refused = host_->Create(project_, {.id = id_, .limits = {.wall_ms = 1}});
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_EQ(rpc::DetailOf(refused.status())->field(), "limits.wall_ms");
  EXPECT_TRUE(absl::IsNotFound(host_->Get(project_, id_).status()));
}

TEST_F(InterpreterContainerHostTest, EventsComeInTheirOrder) {
  const auto run = host_->Execute(project_, {.container = id_,
                                             .code = "x",
                                             .limits = {.wall_ms = 9},
                                             .return_files = ReturnFiles::kBytes,
                                             .end_at_output_limit = true,
                                             .save_figures = true});
  ASSERT_TRUE(run.ok());
  std::vector<size_t> kinds;
  while (kinds.empty() || kinds.back() != 5) {
    const auto event = (*run)->Next(absl::Seconds(10));
    ASSERT_TRUE(event.ok() && event->has_value()) << event.status();
    kinds.push_back((*event)->index());
  }
  EXPECT_EQ(kinds, (std::vector<size_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(interpreter_.executed.limits().wall_ms(), 9U);
  EXPECT_EQ(interpreter_.executed.return_files(), pb::RETURN_FILES_BYTES);
  EXPECT_TRUE(interpreter_.executed.end_at_output_limit());
  EXPECT_TRUE(interpreter_.executed.save_figures());
}

TEST_F(InterpreterContainerHostTest, WhoLeavesInterrupts) {
  auto run = *host_->Execute(project_, {.container = id_, .code = "hang"});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE((*run->Next(absl::Seconds(10))).has_value());
  EXPECT_FALSE((*run->Next(absl::Milliseconds(20))).has_value()) << "nothing has come";
  run.reset();
  EXPECT_TRUE(interpreter_.cancelled.WaitForNotificationWithTimeout(absl::Seconds(5)));
}

TEST_F(InterpreterContainerHostTest, ACallWithoutAnEndIsAnError) {
  auto run = *host_->Execute(project_, {.container = id_, .code = "cut"});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(run->Next(absl::Seconds(10)).ok());
  EXPECT_FALSE(run->Next(absl::Seconds(10)).ok());
}

TEST_F(InterpreterContainerHostTest, FilesGoInAndOut) {
  const std::string bytes(700'001, 'x');
  const Blob blob = server_.Keep(bytes);
  const auto source = server_.files->Open(blob.sha256);
  const auto sent = host_->Upload(project_, id_, "d/a.bin", true, **source);
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(interpreter_.header.size_bytes(), bytes.size());
  EXPECT_TRUE(interpreter_.header.replace());
  EXPECT_EQ(interpreter_.bytes, bytes);

  const auto read = [&](BlobReader& reader) -> absl::StatusOr<std::string> {
    std::string all;
    std::string piece(1234, '\0');
    while (true) {
      const auto got = reader.Read(piece);
      if (!got.ok()) return got.status();
      if (*got == 0) return all;
      all.append(piece, 0, *got);
    }
  };
  const auto opened = host_->Download(project_, id_, "d/a.bin");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->reader->size_bytes(), bytes.size());
  EXPECT_EQ(*read(*opened->reader), bytes);
  EXPECT_TRUE(absl::IsNotFound(host_->Download(project_, id_, "none").status()));
  const auto torn = host_->Download(project_, id_, "torn");
  ASSERT_TRUE(torn.ok());
  EXPECT_TRUE(absl::IsAborted(read(*torn->reader).status())) << "half a file is no file";
  // Not read to its end: the rest is not waited for.
  EXPECT_TRUE(host_->Download(project_, id_, "d/a.bin").ok());
}

TEST_F(InterpreterContainerHostTest, AWorkspaceGoesInAndOutAsAnArchive) {
  const std::string archive(700'001, 't');
  const Blob blob = server_.Keep(archive);
  const auto source = server_.files->Open(blob.sha256);
  const auto imported = host_->Import(project_, id_, true, **source);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->files, 2U);
  EXPECT_EQ(interpreter_.imported.owner(), "p");
  EXPECT_EQ(interpreter_.imported.session_id(), "cntr_1");
  EXPECT_TRUE(interpreter_.imported.replace());
  EXPECT_EQ(interpreter_.bytes, archive);

  std::string got;
  const auto sink = [&](std::string_view piece) {
    got += piece;
    return absl::OkStatus();
  };
  const auto exported = host_->Export(project_, id_, sink);
  ASSERT_TRUE(exported.ok()) << exported.status();
  EXPECT_EQ(got, archive);
  EXPECT_EQ(exported->directories, 1U);
  EXPECT_EQ(exported->bytes, 7U);
  ASSERT_EQ(exported->skipped.size(), 1U);
  EXPECT_EQ(exported->skipped[0].reason, "symlink");
  EXPECT_TRUE(absl::IsAborted(host_->Export(project_, ContainerId("torn"), sink).status()));
  EXPECT_TRUE(absl::IsInternal(host_->Export(project_, ContainerId("cut"), sink).status()))
      << "without its end it is no archive";
  EXPECT_TRUE(absl::IsCancelled(
      host_->Export(project_, id_, [](std::string_view) { return absl::CancelledError("enough"); }).status()));
}

}  // namespace
}  // namespace carrel::gateway
