// The parts of MakeServices.
#pragma once

#include <memory>

#include "gateway/grpc/services.h"

namespace carrel::gateway {

[[nodiscard]] std::unique_ptr<grpc::Service> MakeToolsService(const FrontPorts& ports);
[[nodiscard]] std::unique_ptr<grpc::Service> MakeFilesService(const FrontPorts& ports);
[[nodiscard]] std::unique_ptr<grpc::Service> MakeVectorStoresService(const FrontPorts& ports);
[[nodiscard]] std::unique_ptr<grpc::Service> MakeContainersService(const FrontPorts& ports);

}  // namespace carrel::gateway
