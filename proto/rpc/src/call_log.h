// One log line, one set of metrics and one deadline per call, by a server interceptor.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "absl/time/time.h"
#include "deadlines.h"
#include "metrics.h"
#include "peer_listener.h"

namespace carrel::rpc {

// What the interceptors of all calls share; must outlive the grpc::Server.
struct CallObservers {
  Metrics* metrics = nullptr;    // may be null
  const Peers* peers = nullptr;  // may be null (TCP)
  CallDeadlines* deadlines = nullptr;
  absl::Duration call_max;
};

[[nodiscard]] std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallLog(
    CallObservers observers);

}  // namespace carrel::rpc
