// The client's side: a channel to one of our servers, ready or with a sentence why not.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/address.h"
#include "rpc/server.h"

namespace carrel::rpc {

struct ChannelOptions {
  Address address;
  TlsFiles tls;            // TCP: ca_file (and cert_file, key_file for mutual TLS)
  std::string token_file;  // TCP: sent as `authorization: Bearer …`
  // A message over it fails the call.
  uint64_t message_bytes_max = 64 << 20;
};

// Does not connect yet. INVALID_ARGUMENT: a file cannot be read.
[[nodiscard]] absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

// Waits until it is connected. UNAVAILABLE with a sentence that names the address and what is wrong there (no socket,
// nobody listens, not permitted).
[[nodiscard]] absl::Status WaitUntilConnected(grpc::Channel& channel, const Address& address, absl::Duration timeout);

// Asks the health service. OK: `service` is SERVING. UNAVAILABLE otherwise.
[[nodiscard]] absl::Status CheckHealth(const std::shared_ptr<grpc::Channel>& channel, const std::string& service,
                                       absl::Duration timeout);

}  // namespace carrel::rpc
