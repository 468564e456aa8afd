#include "bench_target.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "absl/time/clock.h"
#include "rpc/client.h"
#include "rpc/status.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace v1 = carrel::interpreter::v1;

constexpr absl::Duration kStartMax = absl::Seconds(120);
constexpr auto kCallMax = std::chrono::minutes(2);
constexpr auto kPause = std::chrono::milliseconds(5);

void SetDeadline(grpc::ClientContext& context) { context.set_deadline(std::chrono::system_clock::now() + kCallMax); }

}  // namespace

absl::StatusOr<std::unique_ptr<BenchTarget>> BenchTarget::Open(const Place& place, const BenchOptions& options) {
  auto target = std::unique_ptr<BenchTarget>(new BenchTarget());
  const absl::Status opened =
      options.server.empty() ? target->StartOwn(place) : target->Connect(options.server, absl::Seconds(5));
  if (!opened.ok()) return opened;
  return target;
}

absl::Status BenchTarget::Connect(const std::string& text, absl::Duration timeout) {
  const auto address = rpc::ParseAddress(text);
  if (!address.ok()) return address.status();
  const auto channel = rpc::MakeChannel({.address = *address});
  if (!channel.ok()) return channel.status();
  stub_ = v1::CodeInterpreter::NewStub(*channel);
  return rpc::WaitUntilConnected(**channel, *address, timeout);
}

absl::Status BenchTarget::StartOwn(const Place& place) {
  const auto jailer = ProgramBeside("carrel-jailer");
  if (!jailer.ok()) return jailer.status();
  const auto server = ProgramBeside("carrel-interpreter");
  if (!server.ok()) return server.status();
  auto directory = TempDir::Create();
  if (!directory.ok()) return directory.status();
  directory_ = *std::move(directory);
  // The server may be another user, who must be able to pass through.
  if (::chmod(directory_->path().c_str(), 0755) != 0) return absl::InternalError("chmod of the temporary directory");
  const std::string data = directory_->path() + "/data";
  std::error_code error;
  std::filesystem::create_directory(data, error);
  if (error) return absl::InternalError(StrCat(data, ": ", error.message()));
  const std::filesystem::path share = std::filesystem::path(*jailer).parent_path().parent_path() / "share" / "carrel";
  SpawnOptions spawn;
  spawn.argv = {
      *jailer,      "--server", *server, "--runtimes", (share / "runtimes").string(), "--tier", place.config.jail.tier,
      "--data-dir", data};
  if (place.config.jail.allow_no_cgroup) spawn.argv.emplace_back("--allow-no-cgroup");
  // Room for everything that is measured: the limits are promises, of which this needs many at once.
  spawn.argv.insert(
      spawn.argv.end(),
      {"--", "--data", data, "--set", "log.level=warning", "--set", "interpreter.sessions_max=10000", "--set",
       "interpreter.sessions_per_owner_max=10000", "--set", "interpreter.memory_bytes_total_max=1000000000000000"});
  for (const config::Setting& setting : config::Changed(place.config)) {
    spawn.argv.insert(spawn.argv.end(), {"--set", StrCat(setting.key, "=", setting.value)});
  }
  spawn.dies_with_parent = true;  // a benchmark that was interrupted leaves no server behind
  const absl::Time started = absl::Now();
  auto process = ChildProcess::Spawn(spawn);
  if (!process.ok()) return process.status();
  jailer_ = *std::move(process);
  const std::string address = "unix:" + data + "/interpreter.sock";
  while (!Connect(address, absl::Milliseconds(50)).ok()) {
    if (const auto end = jailer_->Wait(absl::ZeroDuration())) {
      return absl::UnavailableError(StrCat("carrel-jailer ", Describe(*end)));
    }
    if (absl::Now() - started > kStartMax) return absl::UnavailableError("the server did not start in time");
    std::this_thread::sleep_for(kPause);
  }
  // The zygote imports; a call waits for it, but on a busy machine not long enough.
  BenchRun first = Execute("", "1 + 1");
  while (!first.status.ok() && absl::Now() - started < kStartMax) first = Execute("", "1 + 1");
  if (!first.status.ok()) return absl::UnavailableError(first.status.error_message());
  cold_start_ms_ = absl::ToDoubleMilliseconds(absl::Now() - started);
  return absl::OkStatus();
}

BenchRun BenchTarget::Execute(const std::string& session_id, const std::string& code, const v1::Limits& limits) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ExecuteRequest request;
  request.set_session_id(session_id);
  request.set_code(code);
  *request.mutable_limits() = limits;
  request.set_return_files(v1::RETURN_FILES_NONE);
  const auto reader = stub_->Execute(&context, request);
  BenchRun run;
  v1::ExecuteEvent event;
  while (reader->Read(&event)) {
    if (event.has_started()) run.session_id = event.started().session_id();
    if (event.has_stdout()) run.out += event.stdout();
    if (event.has_display() && event.display().is_result()) {
      const auto& data = event.display().data();
      if (const auto text = data.find("text/plain"); text != data.end()) run.result = text->second;
    }
    if (event.has_finished()) run.outcome = event.finished();
  }
  run.status = reader->Finish();
  return run;
}

absl::StatusOr<std::string> BenchTarget::Create(const v1::Limits& limits) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CreateSessionRequest request;
  *request.mutable_limits() = limits;
  v1::Session session;
  const grpc::Status status = stub_->CreateSession(&context, request, &session);
  if (!status.ok()) return rpc::FromGrpc(status, context);
  return session.session_id();
}

absl::Status BenchTarget::Delete(const std::string& session_id) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::DeleteSessionRequest request;
  request.set_session_id(session_id);
  v1::DeleteSessionResponse response;
  return rpc::FromGrpc(stub_->DeleteSession(&context, request, &response), context);
}

absl::StatusOr<v1::Statistics> BenchTarget::Statistics() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::Statistics statistics;
  const grpc::Status status = stub_->GetStatistics(&context, {}, &statistics);
  if (!status.ok()) return rpc::FromGrpc(status, context);
  return statistics;
}

absl::StatusOr<v1::Capabilities> BenchTarget::Capabilities() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::Capabilities capabilities;
  const grpc::Status status = stub_->GetCapabilities(&context, {}, &capabilities);
  if (!status.ok()) return rpc::FromGrpc(status, context);
  return capabilities;
}

uint64_t BenchTarget::AwaitPool() {
  // It is full when it has not grown for a while: how large it may be is the server's affair.
  uint64_t ready = 0;
  absl::Time grown = absl::Now();
  while (absl::Now() - grown < absl::Milliseconds(60)) {
    const auto statistics = Statistics();
    const uint64_t now = statistics.ok() ? statistics->pool_ready() : 0;
    if (now > ready) grown = absl::Now();
    ready = now;
    std::this_thread::sleep_for(kPause);
  }
  return ready;
}

bool BenchTarget::AwaitNoSessions() {
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (absl::Now() < deadline) {
    const auto statistics = Statistics();
    if (statistics.ok() && statistics->sessions() == 0) return true;
    std::this_thread::sleep_for(kPause);
  }
  return false;
}

}  // namespace carrel::cli
