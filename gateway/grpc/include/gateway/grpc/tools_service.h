// carrel.gateway.v1.Tools over the ports: what an executor of runs elsewhere calls. Thread-safe.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/time/time.h"
#include "carrel/gateway/v1/tools.grpc.pb.h"
#include "gateway/core/backing.h"
#include "gateway/core/files.h"
#include "gateway/core/keys.h"
#include "gateway/core/stores.h"
#include "gateway/ports/code_tool.h"

namespace carrel::gateway {

// Borrowed; everything outlives the service.
struct ToolsPorts {
  Backing backing;
  Keys& keys;
  Files& files;
  Stores& stores;
  CodeTool& code;
};

[[nodiscard]] std::unique_ptr<::carrel::gateway::v1::Tools::Service> MakeToolsService(ToolsPorts ports);

}  // namespace carrel::gateway
