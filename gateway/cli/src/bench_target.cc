#include "bench_target.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "absl/time/clock.h"
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
  if (options.server.empty()) {
    if (const absl::Status started = target->StartOwn(place); !started.ok()) return started;
    return target;
  }
  const auto channel = ConnectTo(options.server, absl::Seconds(5));
  if (!channel.ok()) return channel.status();
  target->stub_ = v1::CodeInterpreter::NewStub(*channel);
  return target;
}

absl::Status BenchTarget::StartOwn(const Place& place) {
  // Room for everything that is measured: the limits are promises, of which this needs many at once.
  auto own = BenchServer::Start(
      place, {.program = "carrel-interpreter",
              .policies = "runtimes",
              .settings = {"interpreter.sessions_max=10000", "interpreter.sessions_per_owner_max=10000",
                           "interpreter.memory_bytes_total_max=1000000000000000"}});
  if (!own.ok()) return own.status();
  own_ = *std::move(own);
  stub_ = v1::CodeInterpreter::NewStub(own_->channel());
  const absl::Time started = own_->started();
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
