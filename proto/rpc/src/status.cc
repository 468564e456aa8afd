#include "rpc/status.h"

#include <string>

#include "absl/strings/cord.h"
#include "strings.h"
#include "text.h"

namespace carrel::rpc {
namespace {

constexpr std::string_view kPayloadUrl = "type.googleapis.com/carrel.common.v1.ErrorDetail";
// HTTP/2 peers refuse large header blocks (8 KiB by default); a message is one sentence, its tail is the least of it.
constexpr size_t kMessageBytesMax = 2048;
constexpr size_t kValueBytesMax = 200;

void SetDetail(absl::Status& status, const common::v1::ErrorDetail& detail) {
  status.SetPayload(Absl(kPayloadUrl), absl::Cord(detail.SerializeAsString()));
}

// google.rpc.Status with a google.rpc.RetryInfo, serialized: what gRPC's own retries and its clients look for.
std::string DetailsWithRetry(const grpc::Status& status, uint64_t retry_after_ms) {
  common::v1::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(static_cast<int64_t>(retry_after_ms / 1000));
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(retry_after_ms % 1000 * 1'000'000));
  common::v1::StatusDetails details;
  details.set_code(status.error_code());
  details.set_message(status.error_message());
  google::protobuf::Any& any = *details.add_details();
  any.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  any.set_value(retry.SerializeAsString());
  return details.SerializeAsString();
}

}  // namespace

absl::Status InvalidField(std::string_view field, std::string_view value, std::string_view expected) {
  common::v1::ErrorDetail detail;
  detail.set_field(std::string(field));
  detail.set_value(CleanUtf8(value, kValueBytesMax));
  detail.set_expected(std::string(expected));
  absl::Status status = absl::InvalidArgumentError(
      StrCat(field, detail.value().empty() ? " is empty" : StrCat(" is ", detail.value()), ": expected ", expected));
  SetDetail(status, detail);
  return status;
}

absl::Status RetryAfter(absl::Status status, absl::Duration delay) {
  if (status.ok()) return status;
  common::v1::ErrorDetail detail = DetailOf(status).value_or(common::v1::ErrorDetail());
  detail.set_retry_after_ms(static_cast<uint64_t>(std::max<int64_t>(1, absl::ToInt64Milliseconds(delay))));
  SetDetail(status, detail);
  return status;
}

absl::Status WithDetail(absl::Status status, const common::v1::ErrorDetail& detail) {
  if (!status.ok()) SetDetail(status, detail);
  return status;
}

std::optional<common::v1::ErrorDetail> DetailOf(const absl::Status& status) {
  const auto payload = status.GetPayload(Absl(kPayloadUrl));
  common::v1::ErrorDetail detail;
  if (!payload.has_value() || !detail.ParseFromString(std::string(*payload))) return std::nullopt;
  return detail;
}

grpc::Status ToGrpc(const absl::Status& status, grpc::ServerContextBase& context) {
  if (status.ok()) return grpc::Status::OK;
  const auto payload = status.GetPayload(Absl(kPayloadUrl));
  if (payload.has_value()) context.AddTrailingMetadata(std::string(kErrorDetailKey), std::string(*payload));
  // The numbers are the same by design of both.
  grpc::Status result(static_cast<grpc::StatusCode>(status.code()),
                      CleanUtf8({status.message().data(), status.message().size()}, kMessageBytesMax));
  const auto detail = DetailOf(status);
  if (!detail || detail->retry_after_ms() == 0) return result;
  return grpc::Status(result.error_code(), result.error_message(), DetailsWithRetry(result, detail->retry_after_ms()));
}

absl::Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto found = trailing.find(grpc::string_ref(kErrorDetailKey.data(), kErrorDetailKey.size()));
  common::v1::ErrorDetail detail;
  if (found != trailing.end() && detail.ParseFromArray(found->second.data(), static_cast<int>(found->second.size()))) {
    SetDetail(result, detail);
  }
  return result;
}

std::string_view CodeName(int grpc_code) {
  static constexpr std::string_view kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  if (grpc_code < 0 || static_cast<size_t>(grpc_code) >= std::size(kNames)) return "UNKNOWN";
  return kNames[grpc_code];
}

}  // namespace carrel::rpc
