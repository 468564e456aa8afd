#include "interpreter/engine/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "interpreter/engine/text.h"

namespace carrel::interpreter {
namespace {

constexpr std::string_view kField = "carrel/field";
constexpr std::string_view kValue = "carrel/value";
constexpr std::string_view kExpected = "carrel/expected";
constexpr std::string_view kRetryAfterMs = "carrel/retry-after-ms";

std::string Payload(const absl::Status& status, std::string_view key) {
  const absl::optional<absl::Cord> cord = status.GetPayload(ToAbsl(key));
  return cord ? std::string(*cord) : std::string();
}

}  // namespace

absl::Status InvalidField(std::string_view field, std::string_view value, std::string_view expected) {
  absl::Status status = absl::InvalidArgumentError(StrCat(field, " is ", value, ": expected ", expected));
  status.SetPayload(ToAbsl(kField), absl::Cord(ToAbsl(field)));
  status.SetPayload(ToAbsl(kValue), absl::Cord(ToAbsl(value)));
  status.SetPayload(ToAbsl(kExpected), absl::Cord(ToAbsl(expected)));
  return status;
}

absl::Status TryLater(std::string_view message, absl::Duration delay) {
  absl::Status status = absl::ResourceExhaustedError(ToAbsl(message));
  status.SetPayload(ToAbsl(kRetryAfterMs), absl::Cord(StrCat(absl::ToInt64Milliseconds(delay))));
  return status;
}

std::optional<ErrorFacts> FactsOf(const absl::Status& status) {
  ErrorFacts facts{
      .field = Payload(status, kField), .value = Payload(status, kValue), .expected = Payload(status, kExpected)};
  const std::string retry = Payload(status, kRetryAfterMs);
  int64_t retry_ms = 0;
  if (absl::SimpleAtoi(retry, &retry_ms)) facts.retry_after = absl::Milliseconds(retry_ms);
  if (facts.field.empty() && retry.empty()) return std::nullopt;
  return facts;
}

}  // namespace carrel::interpreter
