// A gRPC service on a unix socket in a directory of its own, and files beside it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "gateway/storage/blob_directory.h"

namespace carrel::gateway {

class InProcessServer {
 public:
  explicit InProcessServer(grpc::Service& service) {
    std::string name = (std::filesystem::temp_directory_path() / "carrel_be_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    const std::string address = "unix:" + directory_ + "/s";
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    server_ = builder.BuildAndStart();
    channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    files = *OpenBlobDirectory(directory_ + "/blobs");
  }
  ~InProcessServer() {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
    server_->Wait();
    files.reset();
    std::filesystem::remove_all(directory_);
  }

  Blob Keep(const std::string& bytes) {
    auto writer = *files->Create(bytes.size());
    EXPECT_TRUE(writer->Append(bytes).ok());
    return writer->Finish()->blob;
  }
  std::string Read(const Blob& blob) {
    auto reader = *files->Open(blob.sha256);
    std::string bytes(blob.size_bytes, '\0');
    std::size_t at = 0;
    while (at < bytes.size()) {
      const std::size_t got = *reader->Read(std::span(bytes).subspan(at));
      if (got == 0) break;
      at += got;
    }
    return bytes.substr(0, at);
  }

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<FileStore> files;

 private:
  std::string directory_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace carrel::gateway
