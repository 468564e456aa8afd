// All services of the gateway on a unix socket, over a real repository and fake tools.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "carrel/gateway/v1/tools.grpc.pb.h"
#include "fake_tools.h"
#include "fakes/plain_container_host.h"
#include "gateway/core/ingester.h"
#include "gateway/core/system.h"
#include "gateway/grpc/services.h"
#include "gateway/storage/blob_directory.h"
#include "gateway/storage/sqlite_storage.h"

namespace carrel::gateway {

class ServicesFixture : public ::testing::Test {
 protected:
  ServicesFixture() {
    std::string name = (std::filesystem::temp_directory_path() / "carrel_tools_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    storage_ = *SqliteStorage::Open({.path = directory_ + "/db", .sync = SqliteStorage::Sync::kNormal});
    blobs_ = *OpenBlobDirectory(directory_ + "/blobs");
    code_ = std::make_unique<FakeCode>(*blobs_);
    backing_.emplace(Backing{storage_->repository(), *blobs_, search_, clock_, ids_});
    ingester_ = std::make_unique<Ingester>(*backing_);
    stores_ = std::make_unique<Stores>(*backing_, *ingester_);
    files_ = std::make_unique<Files>(*backing_);
    keys_ = std::make_unique<Keys>(*backing_);
    secret_ = keys_->Create("test", ProjectId("p"))->secret;
    containers_ = std::make_unique<Containers>(*backing_, *files_, host_);
    services_ = MakeServices({*keys_, *files_, *stores_, *containers_, *code_, search_});
    const std::string address = "unix:" + directory_ + "/s";
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    for (const NamedService& service : services_) builder.RegisterService(service.service.get());
    server_ = builder.BuildAndStart();
    channel_ = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    stub_ = v1::Tools::NewStub(channel_);
  }
  ~ServicesFixture() override {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
    server_->Wait();
    services_.clear();
    containers_.reset();
    keys_.reset();
    files_.reset();
    stores_.reset();
    ingester_.reset();
    code_.reset();
    storage_.reset();
    blobs_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::unique_ptr<grpc::ClientContext> Context(std::optional<std::string> key = std::nullopt) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->AddMetadata("authorization", "Bearer " + key.value_or(secret_));
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return context;
  }
  std::string directory_;
  SystemClock clock_;
  RandomIds ids_;
  FakeSearch search_;
  std::unique_ptr<SqliteStorage> storage_;
  std::unique_ptr<FileStore> blobs_;
  std::optional<Backing> backing_;
  std::unique_ptr<Ingester> ingester_;
  std::unique_ptr<Stores> stores_;
  std::unique_ptr<Files> files_;
  std::unique_ptr<Keys> keys_;
  std::unique_ptr<FakeCode> code_;
  std::string secret_;
  PlainContainerHost host_;
  std::unique_ptr<Containers> containers_;
  std::vector<NamedService> services_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Tools::Stub> stub_;
};

}  // namespace carrel::gateway
