// Assistants, by what the command line says of them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "api_client.h"
#include "cli/commands.h"

namespace carrel::cli {

// The assistant with this id, else the only one with this name. NOT_FOUND; INVALID_ARGUMENT: several have it.
[[nodiscard]] absl::StatusOr<Json> FindAssistant(ApiClient& api, const std::string& name_or_id);

// Of --name, --model, --instructions, --tool and --store (which is a file_search too). INVALID_ARGUMENT: no model, or
// no such tool.
[[nodiscard]] absl::StatusOr<Json> CreateAssistant(ApiClient& api, const AssistantOptions& options);

// The ids of stores that are named, which must be there.
[[nodiscard]] absl::StatusOr<Json> StoreIds(ApiClient& api, const std::vector<std::string>& stores);

}  // namespace carrel::cli
