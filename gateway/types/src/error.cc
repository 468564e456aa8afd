#include "gateway/types/error.h"

#include <string_view>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace carrel::gateway {
namespace {

constexpr char kPayload[] = "carrel/gateway.Error";

absl::StatusCode CodeOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kObjectMissing:
    case ErrorKind::kFileMissing:
    case ErrorKind::kUrlUnknown:
      return absl::StatusCode::kNotFound;
    case ErrorKind::kKeyWrong:
    case ErrorKind::kKeyMissing:
      return absl::StatusCode::kUnauthenticated;
    case ErrorKind::kOverloaded:
      return absl::StatusCode::kResourceExhausted;
    case ErrorKind::kServerError:
      return absl::StatusCode::kInternal;
    default:
      return absl::StatusCode::kInvalidArgument;
  }
}

// The payload is a list of strings, each as "<length>:<bytes>".
void AppendField(std::string& out, const std::string& field) { absl::StrAppend(&out, field.size(), ":", field); }

std::optional<std::string> TakeField(std::string_view& in) {
  size_t colon = in.find(':');
  size_t length = 0;
  if (colon == std::string_view::npos || !absl::SimpleAtoi(std::string(in.substr(0, colon)), &length) ||
      length > in.size() - colon - 1) {
    return std::nullopt;
  }
  std::string field(in.substr(colon + 1, length));
  in.remove_prefix(colon + 1 + length);
  return field;
}

}  // namespace

absl::Status ToStatus(const Error& error) {
  std::string payload;
  AppendField(payload, absl::StrCat(static_cast<int>(error.kind)));
  AppendField(payload, error.param);
  std::string message = absl::StrCat("gateway error ", static_cast<int>(error.kind));
  for (const std::string& arg : error.args) {
    AppendField(payload, arg);
    absl::StrAppend(&message, " ", arg);
  }
  absl::Status status(CodeOf(error.kind), message);
  status.SetPayload(kPayload, absl::Cord(payload));
  return status;
}

absl::Status MakeError(ErrorKind kind, std::string param, std::vector<std::string> args) {
  return ToStatus({.kind = kind, .param = std::move(param), .args = std::move(args)});
}

std::optional<Error> ErrorOf(const absl::Status& status) {
  absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return std::nullopt;
  std::string text(*payload);
  std::string_view rest = text;
  std::optional<std::string> kind = TakeField(rest);
  std::optional<std::string> param = TakeField(rest);
  int number = 0;
  if (!kind.has_value() || !param.has_value() || !absl::SimpleAtoi(*kind, &number)) return std::nullopt;
  Error error{.kind = static_cast<ErrorKind>(number), .param = *std::move(param), .args = {}};
  while (!rest.empty()) {
    std::optional<std::string> arg = TakeField(rest);
    if (!arg.has_value()) return std::nullopt;
    error.args.push_back(*std::move(arg));
  }
  return error;
}

absl::Status MissingError(std::string noun, std::string id) {
  return MakeError(ErrorKind::kObjectMissing, "", {std::move(noun), std::move(id)});
}

}  // namespace carrel::gateway
