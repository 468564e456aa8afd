// One table between absl::Status (inside) and gRPC's status (outside), and the detail that programs read.
//
// A refusal of bad input is made with InvalidField, a refusal for want of room with RetryAfter; both are ordinary
// absl::Status values that carry a carrel.common.v1.ErrorDetail as payload. ToGrpc sends the payload as the trailing
// metadata "carrel-error-bin" (and a time to try again also as google.rpc.RetryInfo); FromGrpc on the client's side
// puts it back. Thread-safe.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "carrel/common/v1/error.pb.h"

namespace carrel::rpc {

// The key of the trailing metadata that holds a serialized ErrorDetail.
inline constexpr std::string_view kErrorDetailKey = "carrel-error-bin";

// INVALID_ARGUMENT about one request field: "limits.wall_ms is 0: expected 1 to 600000". `value` is cut at 200 bytes
// and made valid UTF-8; never pass a secret.
[[nodiscard]] absl::Status InvalidField(std::string_view field, std::string_view value, std::string_view expected);

// `status` with the time after which the same call may succeed.
[[nodiscard]] absl::Status RetryAfter(absl::Status status, absl::Duration delay);

// `status` (an error) with exactly this detail, in place of one that it may have.
[[nodiscard]] absl::Status WithDetail(absl::Status status, const common::v1::ErrorDetail& detail);

// The detail that `status` carries, if it carries one.
[[nodiscard]] std::optional<common::v1::ErrorDetail> DetailOf(const absl::Status& status);

// What a handler returns. An INTERNAL or UNKNOWN error keeps its message (our own processes are the callers; the
// public front has its own table).
[[nodiscard]] grpc::Status ToGrpc(const absl::Status& status, grpc::ServerContextBase& context);

// The error of a finished call, with its detail.
[[nodiscard]] absl::Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context);

// "NOT_FOUND" and so on, by the number.
[[nodiscard]] std::string_view CodeName(int grpc_code);

}  // namespace carrel::rpc
