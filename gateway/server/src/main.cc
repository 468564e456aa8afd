// carrel-gateway: the OpenAI API over the two services and a chat model.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "config/server_flags.h"
#include "gateway/backends/interpreter_code_tool.h"
#include "gateway/backends/interpreter_container_host.h"
#include "gateway/backends/retrieval_search_tool.h"
#include "gateway/grpc/services.h"
#include "gateway/server/assembly.h"
#include "gateway/storage/blob_directory.h"
#include "gateway/types/server_facts.h"
#include "gateway/types/status_macros.h"
#include "gateway/upstream/openai_chat_model.h"
#include "gateway/upstream/url.h"
#include "rpc/address.h"
#include "rpc/client.h"
#include "rpc/log.h"
#include "rpc/server.h"
#include "rpc/signals.h"

namespace carrel::gateway {
namespace {

constexpr int kUsageError = 2;
constexpr int kInternalError = 6;
// For one question to a service about its health.
constexpr absl::Duration kHealthPatience = absl::Seconds(1);

int Fail(int exit_code, const char* what, const absl::Status& status) {
  std::cerr << "carrel-gateway: " << what << ": " << status.message() << '\n';
  return exit_code;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const config::RpcConfig& rpc, const std::string& address) {
  absl::StatusOr<rpc::Address> parsed = rpc::ParseAddress(address);
  if (!parsed.ok()) return parsed.status();
  return rpc::MakeChannel(
      {.address = *std::move(parsed),
       .tls = {.cert_file = rpc.tls_cert_file, .key_file = rpc.tls_key_file, .ca_file = rpc.tls_ca_file},
       .token_file = rpc.token_file});
}

absl::StatusOr<UpstreamOptions> UpstreamOf(const config::ModelConfig& model) {
  UpstreamOptions options{.base_url = model.base_url,
                          .api_key = model.api_key,
                          .model_aliases = model.aliases,
                          .ca_file = model.ca_file,
                          .proxy_url = model.proxy_url,
                          .first_byte_timeout = absl::Milliseconds(model.first_byte_ms_max),
                          .idle_timeout = absl::Milliseconds(model.idle_ms_max)};
  if (options.api_key.empty() && !model.api_key_file.empty()) {
    std::ifstream in(model.api_key_file);
    if (!std::getline(in, options.api_key)) {
      return absl::InvalidArgumentError(absl::StrCat("model.api_key_file: ", model.api_key_file, " cannot be read"));
    }
  }
  return options;
}

AssemblyOptions OptionsOf(const config::ServerFlags& flags) {
  const char* bootstrap = std::getenv("CARREL_BOOTSTRAP_KEY");
  AssemblyOptions options{.data_dir = flags.data_dir,
                          .full_sync = flags.config.storage.sync == "full",
                          .bootstrap_key = bootstrap == nullptr ? "" : bootstrap};
  options.executor.runs_in_flight_max = flags.config.gateway.runs_in_flight_max;
  options.executor.window_tokens = static_cast<int64_t>(flags.config.model.window_tokens);
  options.http.listen = flags.listen;
  options.http.connections_max = flags.config.gateway.connections_max;
  options.http.observe = [](const http::RequestRecord& record) {
    // Asked every second by some, and nobody's business unless the answer is no.
    const bool is_probe = record.status == 200 && (record.route == "/healthz" || record.route == "/readyz");
    rpc::Log(is_probe ? rpc::LogLevel::kDebug : rpc::LogLevel::kInfo, "request",
             {{"id", std::string_view(record.request_id)},
              {"method", std::string_view(record.method)},
              {"route", std::string_view(record.route)},
              {"project", std::string_view(record.project)},
              {"status", int64_t{record.status}},
              {"ms", absl::ToDoubleMilliseconds(record.took)},
              {"streamed", record.streamed}});
  };
  return options;
}

absl::StatusOr<std::unique_ptr<rpc::Server>> ServeGrpc(const config::ServerFlags& flags,
                                                       const std::vector<NamedService>& services) {
  const config::RpcConfig& config = flags.config.rpc;
  const config::GatewayConfig& gateway = flags.config.gateway;
  GATEWAY_ASSIGN_OR_RETURN(
      rpc::Address listen,
      rpc::ParseAddress(gateway.grpc_listen.empty() ? absl::StrCat("unix:", flags.data_dir, "/gateway.sock")
                                                    : gateway.grpc_listen));
  std::vector<rpc::ServedService> served;
  for (const NamedService& service : services) served.push_back({service.service.get(), service.name});
  return rpc::Server::Start(
      {.listen = std::move(listen),
       .allowed_uids = {config.allowed_uids.begin(), config.allowed_uids.end()},
       .tls = {.cert_file = config.tls_cert_file, .key_file = config.tls_key_file, .ca_file = config.tls_ca_file},
       .services_check_callers = true,
       .message_bytes_max = config.message_bytes_max,
       .threads_max = static_cast<uint32_t>(config.threads_max),
       .call_max = absl::Milliseconds(config.call_ms_max),
       .drain = absl::Milliseconds(config.drain_ms),
       .reflection = config.reflection,
       .metrics_listen = gateway.metrics_listen},
      std::move(served));
}

// "" for a model that is not configured; a base URL that cannot be read was refused before.
std::string ModelHostOf(const config::ModelConfig& model) {
  const absl::StatusOr<Url> url = ParseUrl(model.base_url);
  return url.ok() ? url->Authority() : "";
}

// What GET /carrel/server says, of which the gRPC address is known last.
class Description final {
 public:
  explicit Description(ServerFacts facts) : facts_(std::move(facts)) {}
  void SetGrpc(std::string address) {
    const std::lock_guard lock(mutex_);
    facts_.grpc = std::move(address);
  }
  ServerFacts Get() {
    const std::lock_guard lock(mutex_);
    return facts_;
  }

 private:
  std::mutex mutex_;
  ServerFacts facts_;
};

int Serve(const config::ServerFlags& flags, rpc::ShutdownSignals& signals) {
  const config::GatewayConfig& gateway = flags.config.gateway;
  auto address = [&](const std::string& configured, const char* socket) {
    return configured.empty() ? absl::StrCat("unix:", flags.data_dir, "/", socket) : configured;
  };
  auto interpreter = Connect(flags.config.rpc, address(gateway.interpreter, "interpreter.sock"));
  if (!interpreter.ok()) return Fail(kUsageError, "gateway.interpreter", interpreter.status());
  auto retrieval = Connect(flags.config.rpc, address(gateway.retrieval, "retrieval.sock"));
  if (!retrieval.ok()) return Fail(kUsageError, "gateway.retrieval", retrieval.status());
  auto upstream = UpstreamOf(flags.config.model);
  if (!upstream.ok()) return Fail(kUsageError, "configuration", upstream.status());
  auto model = MakeOpenAiChatModel(*std::move(upstream));
  if (!model.ok()) return Fail(kUsageError, "configuration", model.status());
  auto files = OpenBlobDirectory(flags.data_dir + "/files");
  if (!files.ok()) return Fail(kInternalError, "files", files.status());

  std::unique_ptr<CodeTool> code = MakeInterpreterCodeTool(*interpreter, **files, {});
  std::unique_ptr<SearchTool> search = MakeRetrievalSearchTool(*retrieval, **files, {});
  std::unique_ptr<ContainerHost> containers = MakeInterpreterContainerHost(*interpreter, {});
  AssemblyOptions options = OptionsOf(flags);
  options.http.ready = [interpreter = *interpreter, retrieval = *retrieval]() -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(
        rpc::CheckHealth(interpreter, interpreter::v1::CodeInterpreter::service_full_name(), kHealthPatience));
    return rpc::CheckHealth(retrieval, retrieval::v1::Retrieval::service_full_name(), kHealthPatience);
  };
  auto description = std::make_shared<Description>(
      ServerFacts{.version = CARREL_VERSION, .model_host = ModelHostOf(flags.config.model)});
  options.describe = [description] { return description->Get(); };
  auto assembly = Assembly::Start(std::move(options), {**files, **model, *code, *search, *containers});
  if (!assembly.ok()) return Fail(kInternalError, "starting", assembly.status());
  const std::vector<NamedService> services = MakeServices(
      {(*assembly)->keys(), (*assembly)->files(), (*assembly)->stores(), (*assembly)->containers(), *code, *search});
  auto grpc_server = ServeGrpc(flags, services);
  if (!grpc_server.ok()) return Fail(kInternalError, "gateway.grpc_listen", grpc_server.status());
  (*grpc_server)->SetServing(true);
  description->SetGrpc((*grpc_server)->listening().ToString());
  // Shown once, on the terminal and never in a log.
  if (!(*assembly)->new_key().empty()) std::cout << "API key: " << (*assembly)->new_key() << std::endl;
  rpc::Log(rpc::LogLevel::kInfo, "serving",
           {{"listen", std::string_view((*assembly)->address())}, {"grpc", (*grpc_server)->listening().ToString()}});
  const int signal = signals.Wait();
  rpc::Log(rpc::LogLevel::kInfo, "stopping", {{"signal", int64_t{signal}}});
  (*assembly)->Drain(absl::Milliseconds(flags.config.rpc.drain_ms));
  (*grpc_server)->Shutdown();
  return 0;
}

int Main(int argc, char** argv) {
  absl::StatusOr<rpc::ShutdownSignals> signals = rpc::ShutdownSignals::Block();
  if (!signals.ok()) return Fail(kInternalError, "signals", signals.status());
  const config::ServerFlags flags = config::ParseServerFlags(argc, argv, "gateway", CARREL_VERSION);
  if (flags.exit_code) return *flags.exit_code;
  rpc::LogLevel level = rpc::LogLevel::kInfo;
  (void)rpc::ParseLogLevel(flags.config.log.level, level);  // the configuration was checked
  rpc::SetLogLevel(level);
  if (flags.data_dir.empty()) return Fail(kUsageError, "--data", absl::InvalidArgumentError("is needed"));
  return Serve(flags, *signals);
}

}  // namespace
}  // namespace carrel::gateway

int main(int argc, char** argv) { return carrel::gateway::Main(argc, argv); }
