#include "services.h"

#include "carrel/gateway/v1/containers.grpc.pb.h"
#include "carrel/gateway/v1/files.grpc.pb.h"
#include "carrel/gateway/v1/tools.grpc.pb.h"
#include "carrel/gateway/v1/vector_stores.grpc.pb.h"

namespace carrel::gateway {

std::vector<NamedService> MakeServices(const FrontPorts& ports) {
  std::vector<NamedService> services;
  services.push_back({MakeToolsService(ports), v1::Tools::service_full_name()});
  services.push_back({MakeFilesService(ports), v1::Files::service_full_name()});
  services.push_back({MakeVectorStoresService(ports), v1::VectorStores::service_full_name()});
  services.push_back({MakeContainersService(ports), v1::Containers::service_full_name()});
  return services;
}

}  // namespace carrel::gateway
