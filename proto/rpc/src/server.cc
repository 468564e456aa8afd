#include "rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <mutex>
#include <utility>

#include "absl/time/clock.h"
#include "call_log.h"
#include "credentials.h"
#include "deadlines.h"
#include "metrics.h"
#include "peer_listener.h"
#include "rpc/log.h"
#include "strings.h"

namespace carrel::rpc {
namespace {

// Linking the reflection library adds its plugin to every builder of the process; this takes it out again.
class NoReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

class ServerImpl final : public Server {
 public:
  ServerImpl(ServerOptions options, std::vector<ServedService> services)
      : options_(std::move(options)), services_(std::move(services)), listening_(options_.listen) {}
  ~ServerImpl() override { Shutdown(); }

  absl::Status Begin() {
    if (!options_.metrics_listen.empty()) {
      auto metrics = Metrics::Start(options_.metrics_listen, options_.samples);
      if (!metrics.ok()) return metrics.status();
      metrics_ = *std::move(metrics);
    }
    grpc::ServerBuilder builder;
    int port = 0;
    if (auto status = AddListener(builder, port); !status.ok()) return status;
    Configure(builder);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return absl::UnavailableError(StrCat("cannot listen on ", options_.listen.ToString(),
                                           ": the address is in use or is not one of this machine"));
    }
    if (options_.listen.kind == Address::Kind::kTcp) listening_.port = static_cast<uint16_t>(port);
    SetServing(false);
    if (listener_ != nullptr) listener_->Start(server_.get());
    return absl::OkStatus();
  }

  void SetServing(bool serving) override {
    auto* health = server_->GetHealthCheckService();
    for (const ServedService& service : services_) health->SetServingStatus(service.name, serving);
    health->SetServingStatus("", serving);
  }

  void Shutdown() override {
    const std::lock_guard lock(shutdown_mutex_);
    if (server_ == nullptr || std::exchange(down_, true)) return;
    SetServing(false);
    if (listener_ != nullptr) listener_->Stop();
    server_->Shutdown(absl::ToChronoTime(absl::Now() + options_.drain));
    server_->Wait();
  }

  [[nodiscard]] Address listening() const override { return listening_; }
  [[nodiscard]] uint16_t metrics_port() const override { return metrics_ == nullptr ? 0 : metrics_->port(); }

 private:
  absl::Status AddListener(grpc::ServerBuilder& builder, int& port) {
    if (options_.listen.kind == Address::Kind::kUnix) {
      auto listener = PeerListener::Listen(options_.listen.path, options_.allowed_uids);
      if (!listener.ok()) return listener.status();
      listener_ = *std::move(listener);
      // There is no bandwidth to find out; the probes are a message more each way, which wakes two threads each.
      builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
      return absl::OkStatus();
    }
    auto credentials = TcpServerCredentials(options_);
    if (!credentials.ok()) return credentials.status();
    builder.AddListeningPort(options_.listen.ToString(), *credentials, &port);
    // Two servers on one port would each get some of the calls.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    return absl::OkStatus();
  }

  void Configure(grpc::ServerBuilder& builder) {
    grpc::EnableDefaultHealthCheckService(true);
    for (const ServedService& service : services_) builder.RegisterService(service.service);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options_.message_bytes_max));
    // With several queues a call that was read by the poller of one is mostly handed to the thread of another.
    builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
    grpc::ResourceQuota quota("carrel");
    quota.SetMaxThreads(static_cast<int>(options_.threads_max));
    builder.SetResourceQuota(quota);
    if (options_.reflection) {
      grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    } else {
      builder.SetOption(std::make_unique<NoReflection>());
    }
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
    interceptors.push_back(MakeCallLog({.metrics = metrics_.get(),
                                        .peers = listener_ == nullptr ? nullptr : &listener_->peers(),
                                        .deadlines = &deadlines_,
                                        .call_max = options_.call_max}));
    builder.experimental().SetInterceptorCreators(std::move(interceptors));
  }

  const ServerOptions options_;
  const std::vector<ServedService> services_;
  Address listening_;
  std::mutex shutdown_mutex_;
  bool down_ = false;
  // The grpc::Server comes last, so that it goes first: the calls' interceptors use all of these.
  std::unique_ptr<Metrics> metrics_;
  CallDeadlines deadlines_;
  std::unique_ptr<PeerListener> listener_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, std::vector<ServedService> services) {
  auto server = std::make_unique<ServerImpl>(std::move(options), std::move(services));
  if (auto status = server->Begin(); !status.ok()) return status;
  return server;
}

}  // namespace carrel::rpc
