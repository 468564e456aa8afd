// The services of carrel.gateway.v1 over the core and the ports: what executors of runs elsewhere and the command line
// call. Thread-safe.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>
#include <vector>

#include "gateway/core/containers.h"
#include "gateway/core/files.h"
#include "gateway/core/keys.h"
#include "gateway/core/stores.h"
#include "gateway/ports/code_tool.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway {

// Borrowed; everything outlives the services.
struct FrontPorts {
  Keys& keys;
  Files& files;
  Stores& stores;
  Containers& containers;
  CodeTool& code;
  SearchTool& search;
};

struct NamedService {
  std::unique_ptr<grpc::Service> service;
  std::string name;  // "carrel.gateway.v1.Tools"
};

// Tools, Files, VectorStores and Containers.
[[nodiscard]] std::vector<NamedService> MakeServices(const FrontPorts& ports);

}  // namespace carrel::gateway
