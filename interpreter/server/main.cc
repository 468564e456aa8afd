// carrel-interpreter: sessions of jailed code over gRPC. Started by carrel-jailer, which makes its jails.
#include <unistd.h>

#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "config/server_flags.h"
#include "interpreter/engine/ledger.h"
#include "interpreter/engine/session_table.h"
#include "interpreter/engine/statistics.h"
#include "interpreter/engine/text.h"
#include "interpreter/service/code_interpreter_service.h"
#include "rpc/address.h"
#include "rpc/log.h"
#include "rpc/server.h"
#include "rpc/signals.h"
#include "rpc/watched_serving.h"
#include "sandbox/jailer_client.h"
#include "sandbox/policy.h"

namespace carrel::interpreter {
namespace {

constexpr int kUsageError = 2;
constexpr int kInternalError = 6;
constexpr absl::Duration kJailerAnswerMax = absl::Seconds(2);

int Fail(int exit_code, std::string_view what, const absl::Status& status) {
  std::cerr << "carrel-interpreter: " << what << ": " << status.message() << '\n';
  return exit_code;
}

TableOptions ToTableOptions(const config::InterpreterConfig& config) {
  return {.sessions_max = config.sessions_max,
          .sessions_per_owner_max = config.sessions_per_owner_max,
          .memory_bytes_total_max = config.memory_bytes_total_max,
          .memory_overcommit_percent = config.memory_overcommit_percent,
          .default_runtime = config.default_runtime,
          .calls_waiting_max = config.calls_waiting_max,
          .admission_waiting_max = config.admission_waiting_max,
          .admission_wait_max = absl::Milliseconds(config.admission_wait_ms_max),
          .pool = {.size = config.pool_size, .memory_bytes_max = config.pool_memory_bytes_max},
          .idle_timeout = absl::Milliseconds(config.idle_timeout_ms),
          .lifetime = absl::Milliseconds(config.lifetime_ms),
          .linger = absl::Milliseconds(config.linger_ms),
          .interrupt_grace = absl::Milliseconds(config.interrupt_grace_ms)};
}

rpc::ServerOptions ToServerOptions(const config::ServerFlags& flags, rpc::Address listen) {
  const config::RpcConfig& config = flags.config.rpc;
  return {.listen = std::move(listen),
          .allowed_uids = {config.allowed_uids.begin(), config.allowed_uids.end()},
          .tls = {.cert_file = config.tls_cert_file, .key_file = config.tls_key_file, .ca_file = config.tls_ca_file},
          .token_file = config.token_file,
          .message_bytes_max = config.message_bytes_max,
          .threads_max = static_cast<uint32_t>(config.threads_max),
          .call_max = absl::Milliseconds(config.call_ms_max),
          .drain = absl::Milliseconds(config.drain_ms),
          .reflection = config.reflection,
          .metrics_listen = flags.config.interpreter.metrics_listen};
}

// Where the runtimes' manifests are: beside the executable, unless the configuration names another place.
std::string RuntimesDir(const config::JailConfig& config) {
  if (!config.runtimes_dir.empty()) return config.runtimes_dir;
  std::string self(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  if (length <= 0) return "";
  self.resize(static_cast<size_t>(length));
  const std::string bin = self.substr(0, self.rfind('/'));
  return StrCat(bin.substr(0, bin.rfind('/')), "/share/carrel/runtimes");
}

// What capabilities tell beside what the jailer does. The jailer read the same files; that this process may not (they
// can lie below a private home) costs the descriptions, nothing else.
std::vector<RuntimeInfo> DescribeRuntimes(const std::string& directory) {
  absl::StatusOr<std::vector<sandbox::Policy>> policies = sandbox::LoadPolicies(directory, {.owner = ::geteuid()});
  if (!policies.ok()) {
    rpc::Log(rpc::LogLevel::kWarning, "runtimes are not described",
             {{"why", std::string_view(policies.status().message().data(), policies.status().message().size())}});
    return {};
  }
  std::vector<RuntimeInfo> runtimes;
  for (sandbox::Policy& policy : *policies) {
    RuntimeInfo info{.name = policy.name, .description = policy.description, .version = policy.version};
    for (const sandbox::PolicyPackage& package : policy.packages) info.packages[package.name] = package.version;
    runtimes.push_back(std::move(info));
  }
  return runtimes;
}

// What a caller with the id of a session of before our start is told. Without it he is told less.
void OpenLedger(const std::string& data_dir, Ledger& ledger) {
  if (data_dir.empty()) return;
  const absl::Status opened = ledger.Open(StrCat(data_dir, "/sessions.log"));
  if (opened.ok()) return;
  rpc::Log(rpc::LogLevel::kWarning, "ended sessions are not remembered over a restart",
           {{"why", std::string_view(opened.message().data(), opened.message().size())}});
}

std::vector<rpc::Sample> Samples(SessionTable& table) {
  std::vector<rpc::Sample> samples;
  for (const StepSummary& step : table.statistics().Steps()) {
    const std::map<std::string, std::string> labels{{"step", std::string(StepName(step.step))}};
    samples.push_back({"carrel_session_step_seconds_total", "Seconds spent in a step of starting or ending sessions",
                       labels, absl::ToDoubleSeconds(step.sum), rpc::Sample::Kind::kCounter});
    samples.push_back({"carrel_session_steps_total", "How often a step was taken", labels,
                       static_cast<double>(step.count), rpc::Sample::Kind::kCounter});
    for (const auto& [quantile, value] : {std::pair("0.5", step.p50), {"0.95", step.p95}, {"0.99", step.p99}}) {
      auto with_quantile = labels;
      with_quantile["quantile"] = quantile;
      samples.push_back({"carrel_session_step_seconds", "A step's length, of the last 1024", std::move(with_quantile),
                         absl::ToDoubleSeconds(value), rpc::Sample::Kind::kGauge});
    }
  }
  for (size_t i = 0; i < static_cast<size_t>(Event::kEventsMax); ++i) {
    const auto event = static_cast<Event>(i);
    samples.push_back({"carrel_session_events_total",
                       "Starts, refusals and ends of sessions, and the pool's",
                       {{"event", std::string(EventName(event))}},
                       static_cast<double>(table.statistics().Total(event)),
                       rpc::Sample::Kind::kCounter});
  }
  const auto gauge = [&samples](const char* name, const char* help, uint64_t value) {
    samples.push_back({name, help, {}, static_cast<double>(value), rpc::Sample::Kind::kGauge});
  };
  gauge("carrel_sessions", "Sessions that exist", table.size());
  gauge("carrel_sessions_waiting", "Requests that wait for room", table.waiting());
  gauge("carrel_pool_ready", "Interpreters that are ready", table.pool().ready());
  gauge("carrel_pool_memory_bytes", "What the ready interpreters hold", table.pool().memory_bytes());
  return samples;
}

// Who makes them is the jailer. One that was not told would make each a tmpfs, which is memory that nobody asked for.
absl::Status CheckWorkspaces(const config::InterpreterConfig& config, const sandbox::JailReport& report) {
  if (config.workspace_directory.empty() || report.HasDiskWorkspaces()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the jailer was started without --workspaces ", config.workspace_directory));
}

int Main(int argc, char** argv) {
  absl::StatusOr<rpc::ShutdownSignals> signals = rpc::ShutdownSignals::Block();
  if (!signals.ok()) return Fail(kInternalError, "signals", signals.status());
  const config::ServerFlags flags = config::ParseServerFlags(argc, argv, "interpreter", CARREL_VERSION);
  if (flags.exit_code) return *flags.exit_code;
  rpc::LogLevel level = rpc::LogLevel::kInfo;
  (void)rpc::ParseLogLevel(flags.config.log.level, level);  // the configuration was checked
  rpc::SetLogLevel(level);

  const std::string listen = !flags.listen.empty()     ? flags.listen
                             : !flags.data_dir.empty() ? StrCat("unix:", flags.data_dir, "/interpreter.sock")
                                                       : "";
  absl::StatusOr<rpc::Address> address = rpc::ParseAddress(listen);
  if (!address.ok()) return Fail(kUsageError, "--listen", address.status());
  const absl::StatusOr<Limits> limits = ParseLimits(flags.config.interpreter.limits);
  if (!limits.ok()) return Fail(kUsageError, "interpreter.limits", limits.status());
  absl::StatusOr<std::unique_ptr<sandbox::JailMaker>> jails = sandbox::ConnectToJailer();
  if (!jails.ok()) return Fail(kUsageError, "the jailer (start me with carrel-jailer --server)", jails.status());

  if (absl::Status status = CheckWorkspaces(flags.config.interpreter, (*jails)->report()); !status.ok()) {
    return Fail(kUsageError, "interpreter.workspace_directory", status);
  }

  Ledger ledger;
  OpenLedger(flags.data_dir, ledger);
  TableOptions options = ToTableOptions(flags.config.interpreter);
  options.default_limits = *limits;
  if ((*jails)->report().tier == "confined") {
    // One jail at a time: whoever comes next waits for room, and none is made that nobody asked for.
    options.sessions_max = 1;
    options.pool.size = 0;
  }
  SessionTable table(options, **jails, &ledger);
  const auto service = MakeCodeInterpreterService({.version = CARREL_VERSION,
                                                   .spool_dir = flags.data_dir,
                                                   .runtimes = DescribeRuntimes(RuntimesDir(flags.config.jail))},
                                                  table);
  rpc::ServerOptions server_options = ToServerOptions(flags, *std::move(address));
  server_options.samples = [&table] { return Samples(table); };
  absl::StatusOr<std::unique_ptr<rpc::Server>> server =
      rpc::Server::Start(std::move(server_options), {{service.get(), v1::CodeInterpreter::service_full_name()}});
  if (!server.ok()) return Fail(kInternalError, "listening", server.status());
  rpc::Log(rpc::LogLevel::kInfo, "serving", {{"listen", (*server)->listening().ToString()}});
  const int signal = rpc::ServeWhileItAnswers(**server, *signals,
                                              [&jails] { return (*jails)->Check(absl::Now() + kJailerAnswerMax); });
  rpc::Log(rpc::LogLevel::kInfo, "stopping", {{"signal", int64_t{signal}}});
  (*server)->Shutdown();
  table.Stop();
  return 0;
}

}  // namespace
}  // namespace carrel::interpreter

int main(int argc, char** argv) { return carrel::interpreter::Main(argc, argv); }
