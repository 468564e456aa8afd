#include "caller.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/types/container.h"
#include "gateway/types/error.h"

namespace carrel::gateway {
namespace {

// What an error of an invalid value lists after the value, or what is known of the field.
std::string RightValueOf(const Error& error) {
  if (error.args.size() > 1) {
    return absl::StrCat("one of ", absl::StrJoin(error.args.begin() + 1, error.args.end(), ", "));
  }
  if (error.param == "after") return "an id of this list";
  if (error.param == "name") return absl::StrCat("1 to ", kContainerNameMax, " characters");
  return "another value";
}

}  // namespace

absl::StatusOr<ProjectId> ProjectOf(Keys& keys, const grpc::ServerContext& context) {
  constexpr std::string_view kScheme = "Bearer ";
  const auto found = context.client_metadata().find("authorization");
  std::string key;
  if (found != context.client_metadata().end()) {
    key.assign(found->second.data(), found->second.size());
    if (!key.starts_with(kScheme)) key.clear();
    key.erase(0, std::min(key.size(), kScheme.size()));
  }
  return keys.Check(key);
}

absl::Status Explained(const absl::Status& status) {
  const auto error = ErrorOf(status);
  if (!error.has_value()) return status;
  const std::string first = error->args.empty() ? "" : error->args.front();
  switch (error->kind) {
    case ErrorKind::kKeyMissing:
      return absl::UnauthenticatedError("no key: send the metadata \"authorization: Bearer KEY\"");
    case ErrorKind::kKeyWrong:
      return absl::UnauthenticatedError("the key is not known, or was revoked");
    case ErrorKind::kFileMissing:
      return absl::NotFoundError(absl::StrCat("no file ", first));
    case ErrorKind::kObjectMissing:
      return absl::NotFoundError(absl::StrCat("no ", first, " ", error->args.size() > 1 ? error->args[1] : ""));
    case ErrorKind::kStoreExpired:
      return absl::FailedPreconditionError(absl::StrCat("vector store ", first, " has expired"));
    case ErrorKind::kInvalidRequest:
      return absl::InvalidArgumentError(first);
    case ErrorKind::kInvalidValue:
      return rpc::InvalidField(error->param, first, RightValueOf(*error));
    case ErrorKind::kPurpose:
      return rpc::InvalidField("purpose", first, "one of assistants, vision, user_data, batch, fine-tune, evals");
    case ErrorKind::kUnsupportedFile:
      return rpc::InvalidField("file_id", first, "a file of a type that can be searched");
    default:
      return status;
  }
}

absl::StatusOr<PageRequest> PageOf(uint32_t limit, std::string after, uint32_t limit_default, uint32_t limit_max) {
  if (limit > limit_max) {
    return rpc::InvalidField("limit", absl::StrCat(limit),
                             absl::StrCat("1 to ", limit_max, ", or 0 for ", limit_default));
  }
  return PageRequest{.limit = static_cast<int>(limit == 0 ? limit_default : limit), .after = std::move(after)};
}

}  // namespace carrel::gateway
