// carrel.gateway.v1.Tools over the ports: what an executor of runs elsewhere calls. Thread-safe.
#pragma once

#include <memory>

#include "carrel/gateway/v1/tools.grpc.pb.h"
#include "gateway/core/files.h"
#include "gateway/core/keys.h"
#include "gateway/core/stores.h"
#include "gateway/ports/code_tool.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway {

// Borrowed; everything outlives the service.
struct ToolsPorts {
  Keys& keys;
  Files& files;
  Stores& stores;
  CodeTool& code;
  SearchTool& search;
};

[[nodiscard]] std::unique_ptr<::carrel::gateway::v1::Tools::Service> MakeToolsService(ToolsPorts ports);

}  // namespace carrel::gateway
