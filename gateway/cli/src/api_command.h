// What a command over the API begins and ends with.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "api_client.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/place.h"

namespace carrel::cli {

// Finds the gateway, and gives what `action` gives; an error is told.
[[nodiscard]] ExitCode WithApi(const CommonOptions& common, Console& console,
                               absl::FunctionRef<absl::StatusOr<ExitCode>(ApiClient&)> action);

}  // namespace carrel::cli
