// Vector stores and the files in them, as the API tells of them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api_client.h"

namespace carrel::cli {

// The store with this id, else the only one with this name. NOT_FOUND; an ambiguous name is
// INVALID_ARGUMENT and lists the ids.
[[nodiscard]] absl::StatusOr<Json> FindStore(ApiClient& api, const std::string& name_or_id);
[[nodiscard]] absl::StatusOr<Json> CreateStore(ApiClient& api, const std::string& name);
// "/v1/vector_stores/<id>", and what follows.
[[nodiscard]] std::string StorePath(const Json& store, const std::string& rest = "");
[[nodiscard]] absl::StatusOr<std::vector<Json>> FilesOfStore(ApiClient& api, const Json& store);
// The file with this id, else the only one with this name or path; errors as FindStore's.
[[nodiscard]] absl::StatusOr<Json> FileNamed(const std::vector<Json>& files, const std::string& wanted);

}  // namespace carrel::cli
