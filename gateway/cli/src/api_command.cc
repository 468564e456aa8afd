#include "api_command.h"

#include "cli/gateway_endpoint.h"

namespace carrel::cli {
namespace {

absl::StatusOr<ExitCode> Act(const CommonOptions& common,
                             absl::FunctionRef<absl::StatusOr<ExitCode>(ApiClient&)> action) {
  const auto place = FindPlace(common);
  if (!place.ok()) return place.status();
  const auto endpoint = FindGateway(*place);
  if (!endpoint.ok()) return endpoint.status();
  ApiClient api(HttpTargetOf(*place, *endpoint));
  return action(api);
}

}  // namespace

ExitCode WithApi(const CommonOptions& common, Console& console,
                 absl::FunctionRef<absl::StatusOr<ExitCode>(ApiClient&)> action) {
  const auto result = Act(common, action);
  if (result.ok()) return *result;
  console.Fail(result.status());
  return ExitCodeOf(result.status());
}

}  // namespace carrel::cli
