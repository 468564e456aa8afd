#include "gateway/grpc/tools_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "fake_tools.h"
#include "gateway/core/ingester.h"
#include "gateway/core/system.h"
#include "gateway/storage/blob_directory.h"
#include "gateway/storage/sqlite_storage.h"

namespace carrel::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class ToolsServiceTest : public ::testing::Test {
 protected:
  ToolsServiceTest() {
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
    service_ = MakeToolsService({*keys_, *files_, *stores_, *code_, search_});
    const std::string address = "unix:" + directory_ + "/s";
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::Tools::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }
  ~ToolsServiceTest() override {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
    server_->Wait();
    service_.reset();
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
  grpc::Status Invoke(const v1::InvokeRequest& request, v1::Result* result = nullptr, std::string* logs = nullptr) {
    const auto context = Context();
    const auto reader = stub_->Invoke(context.get(), request);
    v1::InvokeEvent event;
    int results = 0;
    while (reader->Read(&event)) {
      EXPECT_EQ(results, 0) << "something after the result";
      if (logs != nullptr) *logs += event.logs();
      if (event.has_result()) {
        ++results;
        if (result != nullptr) *result = event.result();
      }
    }
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(results, status.ok() ? 1 : 0);
    return status;
  }
  static v1::InvokeRequest Code(const std::string& arguments) {
    v1::InvokeRequest request;
    request.set_name("code_interpreter");
    request.set_container("c");
    request.set_arguments(arguments);
    return request;
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
  std::unique_ptr<v1::Tools::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Tools::Stub> stub_;
};

TEST_F(ToolsServiceTest, ListsTheToolsAsAModelTakesThem) {
  v1::ListToolsResponse reply;
  ASSERT_TRUE(stub_->ListTools(Context().get(), {}, &reply).ok());
  ASSERT_THAT(reply.tools(), SizeIs(2));
  EXPECT_EQ(reply.tools(0).name(), "code_interpreter");
  EXPECT_THAT(reply.tools(0).parameters_json(), HasSubstr("\"code\""));
  EXPECT_EQ(reply.tools(1).name(), "file_search");
}

TEST_F(ToolsServiceTest, AKeyIsNeeded) {
  v1::ListToolsResponse reply;
  grpc::ClientContext none;
  EXPECT_EQ(stub_->ListTools(&none, {}, &reply).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  const auto wrong = Context("sk-wrong-1234567890");
  const grpc::Status status = stub_->ListTools(wrong.get(), {}, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(status.error_message().find("wrong-1234"), std::string::npos);
}

TEST_F(ToolsServiceTest, RunsCodeAndKeepsWhatItWrote) {
  v1::Result result;
  std::string logs;
  ASSERT_TRUE(Invoke(Code(R"({"code": "write"})"), &result, &logs).ok());
  EXPECT_EQ(logs, "printed write");
  EXPECT_TRUE(result.succeeded());
  EXPECT_EQ(result.logs(), "printed write");
  EXPECT_THAT(result.text(), HasSubstr("sandbox:/mnt/data/d/a.csv"));
  ASSERT_THAT(result.outputs(), SizeIs(1));
  ASSERT_THAT(result.images(), SizeIs(1));
  EXPECT_EQ(code_->last.project, ProjectId("p"));

  v1::DownloadFileRequest wanted;
  wanted.set_file_id(result.outputs(0).file_id());
  const auto context = Context();
  const auto reader = stub_->DownloadFile(context.get(), wanted);
  v1::DownloadFileResponse part;
  std::string name;
  std::string bytes;
  while (reader->Read(&part)) {
    if (part.has_facts()) name = part.facts().filename();
    bytes += part.data();
  }
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(name, "a.csv");
  EXPECT_EQ(bytes, "1,2");
  // Another project sees nothing of it.
  const std::string other = keys_->Create("other", ProjectId("q"))->secret;
  const auto foreign = Context(other);
  const auto refused = stub_->DownloadFile(foreign.get(), wanted);
  EXPECT_FALSE(refused->Read(&part));
  EXPECT_EQ(refused->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ToolsServiceTest, WhatTheModelDidWronglyIsAResult) {
  v1::Result result;
  ASSERT_TRUE(Invoke(Code("print(1)"), &result).ok());
  EXPECT_FALSE(result.succeeded());
  EXPECT_THAT(result.text(), HasSubstr("not a JSON object"));
  ASSERT_TRUE(Invoke(Code(R"({"code": "fail"})"), &result).ok());
  EXPECT_FALSE(result.succeeded());
  v1::InvokeRequest unknown;
  unknown.set_name("browser");
  ASSERT_TRUE(Invoke(unknown, &result).ok());
  EXPECT_THAT(result.text(), HasSubstr("there is no tool 'browser'"));
}

TEST_F(ToolsServiceTest, WhatTheCallerDidWronglyIsAnError) {
  auto request = Code(R"({"code": "x"})");
  request.set_container("../x");
  EXPECT_EQ(Invoke(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request = Code(R"({"code": "x"})");
  request.add_file_ids("file-none");
  EXPECT_EQ(Invoke(request).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::InvokeRequest search;
  search.set_name("file_search");
  search.set_arguments(R"({"query": "q"})");
  search.add_vector_store_ids("vs_none");
  EXPECT_EQ(Invoke(search).error_code(), grpc::StatusCode::NOT_FOUND);
  search.set_max_results(51);
  EXPECT_EQ(Invoke(search).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ToolsServiceTest, Searches) {
  const auto store = stores_->Create(ProjectId("p"), {});
  ASSERT_TRUE(store.ok());
  v1::InvokeRequest request;
  request.set_name("file_search");
  request.set_arguments(R"({"query": "days of leave"})");
  request.add_vector_store_ids(store->id.value);
  request.set_search_number(4);
  v1::Result result;
  ASSERT_TRUE(Invoke(request, &result).ok());
  ASSERT_THAT(result.passages(), SizeIs(1));
  EXPECT_EQ(result.passages(0).marker(), "【4:0†a.pdf】");
  EXPECT_EQ(result.passages(0).first_page(), 2U);
  EXPECT_THAT(result.text(), HasSubstr("【4:0†a.pdf】 page 2\npassage"));
  EXPECT_EQ(search_.last.max_results, 20);
}

TEST_F(ToolsServiceTest, CancellingInterruptsTheCode) {
  const auto context = Context();
  const auto reader = stub_->Invoke(context.get(), Code(R"({"code": "hang"})"));
  v1::InvokeEvent event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.logs(), "printed ");
  context->TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(code_->interrupted.WaitForNotificationWithTimeout(absl::Seconds(5)));
}

}  // namespace
}  // namespace carrel::gateway
