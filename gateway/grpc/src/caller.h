// Who calls, what lists take, and what callers read of an error of the core.
#pragma once

#include <grpcpp/server_context.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/core/keys.h"
#include "gateway/ports/repository.h"
#include "gateway/types/ids.h"
#include "rpc/status.h"

namespace carrel::gateway {

// The project of the key in the metadata "authorization: Bearer …".
[[nodiscard]] absl::StatusOr<ProjectId> ProjectOf(Keys& keys, const grpc::ServerContext& context);

// A sentence and a code for what types/error.h has; other statuses as they are.
[[nodiscard]] absl::Status Explained(const absl::Status& status);

// The youngest first. INVALID_ARGUMENT for a limit over `limit_max`.
[[nodiscard]] absl::StatusOr<PageRequest> PageOf(uint32_t limit, std::string after, uint32_t limit_default,
                                                 uint32_t limit_max);

// A handler: finds the project, calls `work` with it, and answers with the status that it returns.
template <typename Work>
grpc::Status Serve(Keys& keys, grpc::ServerContext& context, Work work) {
  absl::StatusOr<ProjectId> project = ProjectOf(keys, context);
  const absl::Status status = project.ok() ? work(*project) : project.status();
  return rpc::ToGrpc(Explained(status), context);
}

}  // namespace carrel::gateway
