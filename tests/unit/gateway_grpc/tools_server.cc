// The services over fake tools, for clients in other languages: tools_server DIRECTORY serves on DIRECTORY/s, says
// its key and a store's id on stdout, and ends with its stdin.
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <limits>

#include "fake_tools.h"
#include "fakes/plain_container_host.h"
#include "gateway/core/containers.h"
#include "gateway/core/ingester.h"
#include "gateway/core/system.h"
#include "gateway/grpc/services.h"
#include "gateway/storage/blob_directory.h"
#include "gateway/storage/sqlite_storage.h"

int main(int argc, char** argv) {
  using namespace carrel::gateway;
  if (argc != 2) return 2;
  const std::string directory = argv[1];
  const auto storage = *SqliteStorage::Open({.path = directory + "/db", .sync = SqliteStorage::Sync::kNormal});
  const auto blobs = *OpenBlobDirectory(directory + "/blobs");
  FakeCode code(*blobs);
  FakeSearch search;
  SystemClock clock;
  RandomIds ids;
  const Backing backing{storage->repository(), *blobs, search, clock, ids};
  Ingester ingester(backing);
  Stores stores(backing, ingester);
  Files files(backing);
  Keys keys(backing);
  const ProjectId project("p");
  PlainContainerHost host;
  Containers containers(backing, files, host);
  const auto services = MakeServices({keys, files, stores, containers, code, search});
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + directory + "/s", grpc::InsecureServerCredentials());
  for (const NamedService& service : services) builder.RegisterService(service.service.get());
  const auto server = builder.BuildAndStart();
  std::cout << keys.Create("test", project)->secret << ' ' << stores.Create(project, {})->id.value << std::endl;
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return 0;
}
