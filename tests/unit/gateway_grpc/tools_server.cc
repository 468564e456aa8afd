// The Tools service over fake tools, for clients in other languages: tools_server DIRECTORY serves on DIRECTORY/s, says
// its key and a store's id on stdout, and ends with its stdin.
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <limits>

#include "fake_tools.h"
#include "gateway/core/ingester.h"
#include "gateway/core/system.h"
#include "gateway/grpc/tools_service.h"
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
  const auto service = MakeToolsService({keys, files, stores, code, search});
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + directory + "/s", grpc::InsecureServerCredentials());
  builder.RegisterService(service.get());
  const auto server = builder.BuildAndStart();
  std::cout << keys.Create("test", project)->secret << ' ' << stores.Create(project, {})->id.value << std::endl;
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return 0;
}
