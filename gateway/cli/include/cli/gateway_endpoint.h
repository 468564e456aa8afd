// Where the gateway is, and with which key: for every command that talks to it.
//
//   CARREL_URL       its base URL ("/v1" at the end is forgiven); else what `carrel serve` wrote into the data
//   directory;
//                    else http://127.0.0.1:8080
//   CARREL_API_KEY   the key; else DATA/root.key, which is only shown to servers on this machine
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/http_client.h"
#include "cli/place.h"

namespace carrel::cli {

struct GatewayEndpoint {
  std::string url;  // "http://127.0.0.1:8080": no '/' and no "/v1" at its end
  std::string key;
  std::string grpc;  // "HOST:PORT" or "unix:PATH" of the Tools service; "": GET /carrel/server tells
};

// UNAUTHENTICATED with what to set when there is no key. INVALID_ARGUMENT: CARREL_URL is no URL.
[[nodiscard]] absl::StatusOr<GatewayEndpoint> FindGateway(const Place& place);

// For the HTTP API at this endpoint; the configuration's rpc.tls_ca_file is whom TLS trusts.
[[nodiscard]] HttpTarget HttpTargetOf(const Place& place, const GatewayEndpoint& endpoint);

// A connection to the gateway's gRPC services, and the key that each call takes along.
class GatewayChannel final {
 public:
  GatewayChannel(std::shared_ptr<grpc::Channel> channel, std::string key)
      : channel_(std::move(channel)), key_(std::move(key)) {}
  [[nodiscard]] const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // Once per call, before it starts: the metadata "authorization: Bearer …".
  void Authorize(grpc::ClientContext& context) const;

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::string key_;
};

// Finds the endpoint and connects. UNAVAILABLE with the sentence why not.
[[nodiscard]] absl::StatusOr<GatewayChannel> ConnectGateway(const Place& place);

// What a running `carrel serve` says of itself, in DATA/run/gateway.json: no secret, and anybody may read it.
struct ServeRecord {
  std::string url;
  std::string grpc;
};
// Written whole or not at all.
[[nodiscard]] absl::Status WriteServeRecord(const std::string& data_dir, const ServeRecord& record);
void RemoveServeRecord(const std::string& data_dir);
// NOT_FOUND: no `carrel serve` runs there.
[[nodiscard]] absl::StatusOr<ServeRecord> ReadServeRecord(const std::string& data_dir);

// The file of the first key: DATA/root.key.
[[nodiscard]] std::string RootKeyPath(const std::string& data_dir);
// NOT_FOUND, or why it cannot be read.
[[nodiscard]] absl::StatusOr<std::string> ReadRootKey(const std::string& data_dir);

}  // namespace carrel::cli
