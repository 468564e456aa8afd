// Containers over the interpreter's gRPC service: a container is a session of the same name, owned by its project.
#pragma once

#include <grpcpp/channel.h>

#include <memory>

#include "absl/time/time.h"
#include "gateway/ports/container_host.h"

namespace carrel::gateway {

struct ContainerHostOptions {
  // Of a call that moves no file and runs no code. Making a container may wait for the interpreter's imports, which
  // take seconds after its start.
  absl::Duration call_max = absl::Minutes(2);
  // Of an upload, a download, or a call with everything around it; the interpreter has its own, shorter limit on code.
  absl::Duration long_call_max = absl::Minutes(30);
};

[[nodiscard]] std::unique_ptr<ContainerHost> MakeInterpreterContainerHost(std::shared_ptr<grpc::Channel> channel,
                                                                          ContainerHostOptions options);

}  // namespace carrel::gateway
