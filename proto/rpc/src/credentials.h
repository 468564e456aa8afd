// Who may talk over TCP.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "rpc/client.h"
#include "rpc/server.h"

namespace carrel::rpc {

// Mutual TLS, TLS with a token, or on loopback a token alone; INVALID_ARGUMENT with the sentence what to set.
[[nodiscard]] absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TcpServerCredentials(
    const ServerOptions& options);
[[nodiscard]] absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TcpChannelCredentials(
    const ChannelOptions& options);

// In a time that does not depend on where they differ.
[[nodiscard]] bool EqualSecrets(std::string_view a, std::string_view b);

}  // namespace carrel::rpc
