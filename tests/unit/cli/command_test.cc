// The program `carrel`, run as a child, against a fake of the gateway's containers on a real socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>

#include "absl/time/clock.h"
#include "carrel/gateway/v1/containers.grpc.pb.h"
#include "carrel_process.h"
#include "cli/gateway_endpoint.h"
#include "rpc/log.h"
#include "rpc/server.h"
#include "rpc/status.h"

namespace carrel::cli {
namespace {

namespace fs = std::filesystem;
namespace gv1 = gateway::v1;
namespace iv1 = interpreter::v1;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKey[] = "sk-carrel-of-this-test";

// Does what the code's first word says. A name is the container's id too.
class FakeContainers final : public gv1::Containers::Service {
 public:
  grpc::Status CreateContainer(grpc::ServerContext* context, const gv1::CreateContainerRequest* request,
                               gv1::Container* container) override {
    Check(*context);
    if (request->limits().wall_ms() > 600'000) {
      return rpc::ToGrpc(rpc::InvalidField("limits.wall_ms", "600001", "1 to 600000"), *context);
    }
    const std::lock_guard lock(mutex_);
    container->set_container_id(request->name().empty() ? "made" : "cntr_" + request->name());
    container->set_created(containers_.try_emplace(container->container_id()).second);
    return grpc::Status::OK;
  }
  grpc::Status DeleteContainer(grpc::ServerContext* context, const gv1::DeleteContainerRequest* request,
                               gv1::DeleteContainerResponse* response) override {
    Check(*context);
    const std::lock_guard lock(mutex_);
    response->set_existed(containers_.erase(request->container_id()) > 0);
    return grpc::Status::OK;
  }
  grpc::Status UploadContainerFile(grpc::ServerContext* context,
                                   grpc::ServerReader<gv1::UploadContainerFileRequest>* reader,
                                   iv1::File* file) override {
    Check(*context);
    gv1::UploadContainerFileRequest part;
    std::string container;
    std::string bytes;
    while (reader->Read(&part)) {
      if (part.has_header()) {
        container = part.header().container_id();
        file->set_path(part.header().path());
      } else {
        bytes += part.data();
      }
    }
    const std::lock_guard lock(mutex_);
    containers_[container][file->path()] = bytes;
    file->set_size_bytes(bytes.size());
    return grpc::Status::OK;
  }
  grpc::Status DownloadContainerFile(grpc::ServerContext* context, const gv1::DownloadContainerFileRequest* request,
                                     grpc::ServerWriter<iv1::DownloadFileResponse>* writer) override {
    Check(*context);
    iv1::DownloadFileResponse response;
    response.mutable_file()->set_size_bytes(request->path() == "short" ? 9 : 5);
    writer->Write(response);
    response.set_data("bytes");
    writer->Write(response);
    return grpc::Status::OK;
  }
  grpc::Status ExportContainerFiles(grpc::ServerContext* context, const gv1::ExportContainerFilesRequest* request,
                                    grpc::ServerWriter<iv1::ExportWorkspaceResponse>* writer) override {
    Check(*context);
    iv1::ExportWorkspaceResponse part;
    part.set_data("archive of " + request->container_id());
    writer->Write(part);
    if (request->container_id() == "cntr_torn") return {grpc::StatusCode::ABORTED, "torn"};
    part.mutable_summary()->set_files(1);
    writer->Write(part);
    return grpc::Status::OK;
  }
  grpc::Status ImportContainerFiles(grpc::ServerContext* context,
                                    grpc::ServerReader<gv1::ImportContainerFilesRequest>* reader,
                                    iv1::ImportWorkspaceResponse*) override {
    Check(*context);
    gv1::ImportContainerFilesRequest part;
    std::string container, bytes;
    while (reader->Read(&part)) {
      if (part.has_header()) container = part.header().container_id();
      bytes += part.data();
    }
    if (bytes == "junk") return {grpc::StatusCode::INVALID_ARGUMENT, "not an archive"};
    const std::lock_guard lock(mutex_);
    containers_[container]["imported"] = bytes;
    return grpc::Status::OK;
  }
  grpc::Status Interrupt(grpc::ServerContext* context, const gv1::InterruptRequest*,
                         iv1::InterruptResponse* response) override {
    Check(*context);
    interrupted = true;
    response->set_interrupted(true);
    return grpc::Status::OK;
  }
  grpc::Status Execute(grpc::ServerContext* context, const gv1::ExecuteRequest* request,
                       grpc::ServerWriter<iv1::ExecuteEvent>* writer) override {
    Check(*context);
    iv1::ExecuteEvent event;
    event.mutable_started()->set_session_id(request->container_id().empty() ? "thrown" : request->container_id());
    writer->Write(event);
    const std::string& code = request->code();
    iv1::ExecuteEvent last;
    iv1::Outcome& outcome = *last.mutable_finished();
    outcome.set_kind(iv1::COMPLETED);
    outcome.set_state_kept(true);
    if (code == "print") {
      event.set_stdout("hello\n\x1b[31m");
      writer->Write(event);
      event.set_stderr("warned\n");
      writer->Write(event);
      (*event.mutable_display()->mutable_data())["text/plain"] = "42";
      writer->Write(event);
    } else if (code == "raise") {
      outcome.set_kind(iv1::RAISED);
      outcome.mutable_exception()->set_traceback("Traceback: boom");
    } else if (code == "wait") {
      while (!context->IsCancelled() && !interrupted) absl::SleepFor(absl::Milliseconds(5));
      outcome.set_kind(iv1::RAISED);
      outcome.mutable_exception()->set_traceback("KeyboardInterrupt");
    } else if (code.starts_with("artifact ")) {
      event.mutable_artifact()->set_path(code.substr(9));
      event.mutable_artifact()->set_size_bytes(5);
      writer->Write(event);
    } else if (code == "figure") {
      (*event.mutable_display()->mutable_data())["image/png"] = "PNG!";
      (*event.mutable_display()->mutable_data())["text/plain"] = "<Figure>";
      writer->Write(event);
    } else if (code == "read") {
      const std::lock_guard lock(mutex_);
      for (const auto& [name, bytes] : containers_[request->container_id()]) {
        event.set_stdout(name + "=" + bytes + "\n");
        writer->Write(event);
      }
    } else if (code.starts_with("kind ")) {
      iv1::OutcomeKind kind = iv1::INTERNAL;
      iv1::OutcomeKind_Parse(code.substr(5), &kind);
      outcome.set_kind(kind);
      outcome.set_message("the sentence");
    } else if (code == "full") {
      return rpc::ToGrpc(rpc::RetryAfter(absl::ResourceExhaustedError("too many sessions"), absl::Seconds(3)),
                         *context);
    }
    writer->Write(last);
    return grpc::Status::OK;
  }

  [[nodiscard]] size_t containers() {
    const std::lock_guard lock(mutex_);
    return containers_.size();
  }
  std::atomic<bool> interrupted = false;

 private:
  // Every call brings the key.
  static void Check(const grpc::ServerContext& context) {
    const auto found = context.client_metadata().find("authorization");
    ASSERT_NE(found, context.client_metadata().end());
    EXPECT_EQ(std::string(found->second.data(), found->second.size()), std::string("Bearer ") + kKey);
  }

  std::mutex mutex_;
  std::map<std::string, std::map<std::string, std::string>> containers_;
};

class CommandTest : public CarrelProcess {
 protected:
  CommandTest() {
    rpc::SetLogLevel(rpc::LogLevel::kOff);
    auto server = rpc::Server::Start({.listen = {.kind = rpc::Address::Kind::kUnix, .path = data_ + "/run/tools.sock"}},
                                     {{&containers_, gv1::Containers::service_full_name()}});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetServing(true);
    std::ofstream(RootKeyPath(data_)) << kKey << "\n";
    EXPECT_TRUE(
        WriteServeRecord(data_, {.url = "http://127.0.0.1:8080", .grpc = "unix:" + data_ + "/run/tools.sock"}).ok());
  }

  FakeContainers containers_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_F(CommandTest, RunKeepsResultsAndTalkApart) {
  const Result result = Carrel({"run", "-c", "print"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  // Into a pipe or file the code's bytes go as they are.
  EXPECT_EQ(result.out, "hello\n\x1b[31m42\n");
  EXPECT_EQ(result.err, "warned\n");
}

TEST_F(CommandTest, RunReadsCodeFromAFileAndFromStdin) {
  EXPECT_THAT(Carrel({"run", WriteFile("code.py", "print")}).out, HasSubstr("hello"));
  EXPECT_THAT(Carrel({"run", "-"}, "print").out, HasSubstr("hello"));
  EXPECT_EQ(Carrel({"run", temp_.path() + "/none.py"}).exit_code, 2);
}

TEST_F(CommandTest, RunInJsonIsOneEventALineAndFinishedLast) {
  const Result result = Carrel({"run", "--json", "--out", temp_.path() + "/o", "-c", "artifact plot.png"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find("{\"started\":{\"session_id\":\"thrown\"}}\n"), 0u) << result.out;
  EXPECT_THAT(result.out, HasSubstr("{\"artifact\":{\"path\":\"plot.png\",\"size_bytes\":\"5\"}}\n"));
  EXPECT_THAT(result.out, HasSubstr("{\"saved\":{\"path\":\"plot.png\""));
  const size_t finished = result.out.find("{\"finished\":");
  EXPECT_EQ(result.out.find('\n', finished), result.out.size() - 1);
}

TEST_F(CommandTest, ExitCodesAreTheDocumentedOnes) {
  EXPECT_EQ(Carrel({"run", "-c", "raise"}).exit_code, 1);
  EXPECT_EQ(Carrel({"run", "-c", "kind TIME_LIMIT"}).exit_code, 4);
  EXPECT_EQ(Carrel({"run", "-c", "kind DENIED_SYSCALL"}).exit_code, 5);
  EXPECT_EQ(Carrel({"run", "-c", "kind INTERNAL"}).exit_code, 6);
  EXPECT_EQ(Carrel({"run", "-c", "full"}).exit_code, 4);
  EXPECT_EQ(Carrel({"run"}).exit_code, 2);
  EXPECT_EQ(Carrel({"run", "--no-such-flag"}).exit_code, 2);
  EXPECT_EQ(Carrel({}).exit_code, 2);
  EXPECT_EQ(Carrel({"run", "--set", "rpc.drain_sm=1", "-c", "x"}).exit_code, 2);
  EXPECT_EQ(Carrel({"run", "--limit", "wall=1", "-c", "x"}).exit_code, 2);
  const Result bench = Carrel({"bench", "search", "--types", "txt,wombat"});
  EXPECT_EQ(bench.exit_code, 2);
  EXPECT_THAT(bench.err, HasSubstr("wombat"));
  EXPECT_EQ(Carrel({"run", "--data", temp_.path() + "/none", "-c", "x"}).exit_code, 3);
  const Result help = Carrel({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("  5  a policy was violated"));
}

TEST_F(CommandTest, ErrorsSayTheSentenceAndInJsonTheFields) {
  const Result result = Carrel({"run", "--json", "--session", "s", "--limit", "wall_ms=600001", "-c", "x"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("limits.wall_ms is 600001: expected 1 to 600000"));
  EXPECT_THAT(result.out, HasSubstr("\"code\":\"INVALID_ARGUMENT\""));
  EXPECT_THAT(result.out, HasSubstr("\"field\":\"limits.wall_ms\""));
  EXPECT_THAT(Carrel({"run", "-c", "full"}).err, HasSubstr("try again in 3000 ms"));
}

TEST_F(CommandTest, TracebacksGoToStderr) {
  const Result result = Carrel({"run", "-c", "raise"});
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("Traceback: boom"));
}

TEST_F(CommandTest, FilesGoInAndAThrowAwaySessionGoesAway) {
  const Result result = Carrel({"run", "--file", WriteFile("data.csv", "1,2"), "-c", "read"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "data.csv=1,2\n");
  EXPECT_EQ(containers_.containers(), 0u);
}

TEST_F(CommandTest, ANamedSessionIsMadeOnceAndStays) {
  EXPECT_EQ(Carrel({"run", "--session", "s", "--file", WriteFile("data.csv", "1,2"), "-c", "read"}).exit_code, 0);
  EXPECT_EQ(Carrel({"run", "--session", "s", "-c", "read"}).out, "data.csv=1,2\n");
  EXPECT_EQ(containers_.containers(), 1u);
}

TEST_F(CommandTest, ArtifactsAndFiguresAreSaved) {
  const std::string out = temp_.path() + "/o";
  EXPECT_EQ(Carrel({"run", "--out", out, "-c", "artifact deep/table.csv"}).exit_code, 0);
  EXPECT_EQ(ReadFile(out + "/deep/table.csv"), "bytes");
  EXPECT_EQ(Carrel({"run", "--out", out, "-c", "figure"}).exit_code, 0);
  EXPECT_EQ(ReadFile(out + "/figure-1.png"), "PNG!");
  EXPECT_THAT(Carrel({"run", "-c", "figure"}).err, HasSubstr("--out"));
}

TEST_F(CommandTest, HostileArtifactNamesNeverLeaveTheDirectory) {
  const std::string out = temp_.path() + "/o";
  for (const char* name : {"../evil", "/evil", "a/../../evil", "evil\x1b[2J"}) {
    const Result result = Carrel({"run", "--out", out, "-c", std::string("artifact ") + name});
    EXPECT_EQ(result.exit_code, 5) << name;
    EXPECT_THAT(result.err, HasSubstr("not saved"));
    EXPECT_THAT(result.err, Not(HasSubstr("\x1b")));
  }
  EXPECT_TRUE(fs::is_empty(out));
  EXPECT_FALSE(fs::exists(temp_.path() + "/evil"));
}

TEST_F(CommandTest, ATruncatedDownloadIsNotSaved) {
  const std::string out = temp_.path() + "/o";
  EXPECT_EQ(Carrel({"run", "--out", out, "-c", "artifact short"}).exit_code, 6);
  EXPECT_TRUE(fs::is_empty(out));
}

TEST_F(CommandTest, AWorkspaceIsImportedFirstAndExportedLast) {
  const std::string archive = WriteFile("in.tar", "an archive");
  const std::string out = temp_.path() + "/new/out.tar";
  const Result result = Carrel({"run", "--session", "s", "--import", archive, "--export", out, "-c", "read"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("imported=an archive"));
  EXPECT_EQ(ReadFile(out), "archive of cntr_s");
  EXPECT_THAT(result.err, HasSubstr("exported"));
}

TEST_F(CommandTest, AnArchiveThatIsNoneOrHasNoEnd) {
  EXPECT_EQ(Carrel({"run", "--import", WriteFile("in.tar", "junk"), "-c", "print"}).exit_code, 2);
  EXPECT_EQ(Carrel({"run", "--import", temp_.path() + "/none.tar", "-c", "print"}).exit_code, 2);
  const std::string out = temp_.path() + "/out.tar";
  EXPECT_NE(Carrel({"run", "--session", "torn", "--export", out, "-c", "print"}).exit_code, 0);
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(CommandTest, CtrlCInterruptsTheCode) {
  ChildProcess process = Spawn({"run", "-c", "wait", "--json"});
  for (int i = 0; i < 1000 && ReadFile(temp_.path() + "/out").empty(); ++i) absl::SleepFor(absl::Milliseconds(10));
  ASSERT_TRUE(process.Signal(SIGINT).ok());
  const Result result = Await(process);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(containers_.interrupted);
  EXPECT_THAT(result.out, HasSubstr("KeyboardInterrupt"));
}

TEST_F(CommandTest, VersionSaysItself) {
  EXPECT_THAT(Carrel({"version"}).out, HasSubstr("carrel 0."));
  EXPECT_THAT(Carrel({"version", "--json"}).out, HasSubstr("{\"version\":\"0."));
}

class DoctorTest : public CarrelProcess {};

TEST_F(DoctorTest, SpeaksOfTheTierThatIsConfigured) {
  const Result confined = Carrel({"doctor", "--set", "jail.tier=confined"});
  EXPECT_THAT(confined.out, HasSubstr("the tier confined was asked for"));
  EXPECT_THAT(confined.out, HasSubstr("sessions: one at a time")) << "what it does not hold";
  const std::string config = WriteFile("carrel.toml", "[jail]\ntier = \"userns\"\nallow_no_cgroup = true\n");
  const Result userns = Carrel({"doctor", "--json", "--config", config});
  EXPECT_THAT(userns.out, HasSubstr("\"tier\":\"userns\""));
  EXPECT_THAT(userns.out, HasSubstr("\"as_allowed\":true"));
  EXPECT_EQ(userns.exit_code, 0) << userns.err;
  const Result wrong = Carrel({"doctor", "--set", "jail.tier=best"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("jail.tier"));
}

}  // namespace
}  // namespace carrel::cli
