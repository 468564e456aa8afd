// Files, VectorStores and Containers: what they do, and that one project's objects are not another's.
#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/time/clock.h"
#include "carrel/gateway/v1/containers.grpc.pb.h"
#include "carrel/gateway/v1/files.grpc.pb.h"
#include "carrel/gateway/v1/vector_stores.grpc.pb.h"
#include "gateway/core/uploads.h"
#include "gateway/types/error.h"
#include "services_fixture.h"

namespace carrel::gateway {
namespace {

namespace code = carrel::interpreter::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ServicesTest : public ServicesFixture {
 protected:
  ServicesTest()
      : files_stub_(channel_),
        stores_stub_(channel_),
        containers_stub_(channel_),
        other_(keys_->Create("other", ProjectId("q"))->secret) {}

  v1::File Upload(const std::string& name, const std::string& bytes) {
    v1::File file;
    const auto context = Context();
    const auto writer = files_stub_.UploadFile(context.get(), &file);
    v1::UploadFileRequest part;
    part.mutable_header()->set_filename(name);
    writer->Write(part);
    for (size_t at = 0; at < bytes.size(); at += 1000) {
      part.set_data(bytes.substr(at, 1000));
      writer->Write(part);
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return file;
  }

  v1::Container Open(const std::string& name) {
    v1::CreateContainerRequest request;
    request.set_name(name);
    v1::Container container;
    const grpc::Status status = containers_stub_.CreateContainer(Context().get(), request, &container);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return container;
  }

  grpc::Status PutFile(const std::string& container, const std::string& path, const std::string& bytes,
                       std::optional<std::string> key = std::nullopt) {
    code::File file;
    const auto context = Context(std::move(key));
    const auto writer = containers_stub_.UploadContainerFile(context.get(), &file);
    v1::UploadContainerFileRequest part;
    part.mutable_header()->set_container_id(container);
    part.mutable_header()->set_path(path);
    writer->Write(part);
    part.set_data(bytes);
    writer->Write(part);
    writer->WritesDone();
    return writer->Finish();
  }

  grpc::Status Execute(const std::string& container, const std::string& text, std::vector<code::ExecuteEvent>* events,
                       std::optional<std::string> key = std::nullopt) {
    v1::ExecuteRequest request;
    request.set_container_id(container);
    request.set_code(text);
    const auto context = Context(std::move(key));
    const auto reader = containers_stub_.Execute(context.get(), request);
    code::ExecuteEvent event;
    while (reader->Read(&event)) {
      if (events != nullptr) events->push_back(event);
    }
    return reader->Finish();
  }

  v1::Files::Stub files_stub_;
  v1::VectorStores::Stub stores_stub_;
  v1::Containers::Stub containers_stub_;
  const std::string other_;  // a key of another project
};

TEST_F(ServicesTest, AFileGoesUpAndComesBack) {
  const std::string bytes(700'000, 'x');
  const v1::File file = Upload("a.txt", bytes);
  EXPECT_EQ(file.purpose(), "assistants");
  EXPECT_EQ(file.size_bytes(), bytes.size());
  v1::ListFilesResponse listed;
  ASSERT_TRUE(files_stub_.ListFiles(Context().get(), {}, &listed).ok());
  ASSERT_THAT(listed.files(), SizeIs(1));
  EXPECT_EQ(listed.files(0).file_id(), file.file_id());

  v1::DownloadFileRequest wanted;
  wanted.set_file_id(file.file_id());
  const auto context = Context();
  const auto reader = files_stub_.DownloadFile(context.get(), wanted);
  v1::DownloadFileResponse part;
  std::string name;
  std::string got;
  while (reader->Read(&part)) {
    if (part.has_file()) name = part.file().filename();
    got += part.data();
  }
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(name, "a.txt");
  EXPECT_EQ(got, bytes);

  v1::DeleteFileRequest gone;
  gone.set_file_id(file.file_id());
  v1::DeleteFileResponse deleted;
  ASSERT_TRUE(files_stub_.DeleteFile(Context().get(), gone, &deleted).ok());
  EXPECT_EQ(files_stub_.DeleteFile(Context().get(), gone, &deleted).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServicesTest, AnUploadThatIsNoneIsRefused) {
  v1::File file;
  const auto upload = [&](const std::function<void(v1::UploadFileRequest&)>& first) {
    const auto context = Context();
    const auto writer = files_stub_.UploadFile(context.get(), &file);
    v1::UploadFileRequest part;
    first(part);
    writer->Write(part);
    writer->WritesDone();
    return writer->Finish();
  };
  EXPECT_EQ(upload([](auto& part) { part.set_data("x"); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(upload([](auto& part) { part.mutable_header(); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const grpc::Status purpose = upload([](auto& part) {
    part.mutable_header()->set_filename("a");
    part.mutable_header()->set_purpose("world_domination");
  });
  EXPECT_EQ(purpose.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(purpose.error_message(), HasSubstr("world_domination"));
  EXPECT_EQ(upload([](auto& part) {
              part.mutable_header()->set_filename("a");
              part.mutable_header()->set_expires_after_s(1);
            }).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServicesTest, AStoreAndItsFiles) {
  const v1::File file = Upload("a.txt", "text");
  v1::CreateVectorStoreRequest wanted;
  wanted.set_name("docs");
  wanted.add_file_ids(file.file_id());
  v1::VectorStore store;
  ASSERT_TRUE(stores_stub_.CreateVectorStore(Context().get(), wanted, &store).ok());
  EXPECT_EQ(store.name(), "docs");
  v1::GetVectorStoreFileRequest which;
  which.set_vector_store_id(store.vector_store_id());
  which.set_file_id(file.file_id());
  v1::VectorStoreFile in_store;
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(stores_stub_.GetVectorStoreFile(Context().get(), which, &in_store).ok());
    if (in_store.status() != v1::VectorStoreFile::IN_PROGRESS) break;
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_EQ(in_store.status(), v1::VectorStoreFile::COMPLETED);
  EXPECT_EQ(in_store.filename(), "a.txt");
  EXPECT_EQ(in_store.pages(), 2U);
  EXPECT_EQ(in_store.verdict(), "READ");

  v1::ListVectorStoreFilesRequest list;
  list.set_vector_store_id(store.vector_store_id());
  v1::ListVectorStoreFilesResponse listed;
  ASSERT_TRUE(stores_stub_.ListVectorStoreFiles(Context().get(), list, &listed).ok());
  EXPECT_THAT(listed.files(), SizeIs(1));
  // A file that is deleted is in no store any more.
  v1::DeleteFileRequest gone;
  gone.set_file_id(file.file_id());
  v1::DeleteFileResponse deleted;
  ASSERT_TRUE(files_stub_.DeleteFile(Context().get(), gone, &deleted).ok());
  EXPECT_EQ(stores_stub_.GetVectorStoreFile(Context().get(), which, &in_store).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(search_.deleted, ElementsAre(FileId(file.file_id())));
  list.set_limit(101);
  EXPECT_EQ(stores_stub_.ListVectorStoreFiles(Context().get(), list, &listed).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServicesTest, ASpanOfAFileIsCitedAndItsPageDrawn) {
  const v1::File file = Upload("a.pdf", "text");
  v1::CreateVectorStoreRequest wanted;
  wanted.add_file_ids(file.file_id());
  v1::VectorStore store;
  ASSERT_TRUE(stores_stub_.CreateVectorStore(Context().get(), wanted, &store).ok());

  v1::CiteVectorStoreFileRequest cite;
  cite.set_vector_store_id(store.vector_store_id());
  cite.set_file_id(file.file_id());
  retrieval::v1::Citation citation;
  EXPECT_EQ(stores_stub_.CiteVectorStoreFile(Context().get(), cite, &citation).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  cite.mutable_span()->set_begin(3);
  cite.mutable_span()->set_end(8);
  ASSERT_TRUE(stores_stub_.CiteVectorStoreFile(Context().get(), cite, &citation).ok());
  EXPECT_EQ(citation.quote(), "quote");
  EXPECT_EQ(citation.span().begin(), 3U);
  EXPECT_EQ(citation.span().end(), 8U);
  EXPECT_EQ(citation.first_page(), 2U);
  EXPECT_EQ(citation.last_page_label(), "ii");
  ASSERT_THAT(citation.boxes(), SizeIs(1));
  EXPECT_EQ(citation.boxes(0).page(), 2U);
  EXPECT_EQ(citation.boxes(0).y_max(), 4.0);

  search_.picture = std::string(600'000, 'p');
  const auto draw = [&](const v1::RenderVectorStoreFilePageRequest& request, uint32_t* page, std::string* png) {
    const auto context = Context();
    const auto reader = stores_stub_.RenderVectorStoreFilePage(context.get(), request);
    for (v1::RenderVectorStoreFilePageResponse part; reader->Read(&part);) {
      *page = std::max(*page, part.page());
      *png += part.data();
    }
    return reader->Finish();
  };
  v1::RenderVectorStoreFilePageRequest request;
  request.set_vector_store_id(store.vector_store_id());
  request.set_file_id(file.file_id());
  *request.mutable_span() = cite.span();
  request.set_dpi(96);
  uint32_t page = 0;
  std::string png;
  ASSERT_TRUE(draw(request, &page, &png).ok());
  EXPECT_EQ(page, 2U);
  EXPECT_EQ(png, search_.picture);
  EXPECT_EQ(search_.drawn.span, (TextSpan{.begin = 3, .end = 8}));
  EXPECT_EQ(search_.drawn.dpi, 96);

  request.set_dpi(7);
  EXPECT_THAT(draw(request, &page, &png).error_message(), HasSubstr("18 to 600"));
  request.set_dpi(0);
  request.clear_span();
  EXPECT_THAT(draw(request, &page, &png).error_message(), HasSubstr("a page or a span"));
}

TEST_F(ServicesTest, AContainerRunsCodeAndKeepsItsFiles) {
  const v1::Container container = Open("work");
  EXPECT_TRUE(container.created());
  EXPECT_EQ(container.state(), code::SESSION_STATE_READY);
  ASSERT_TRUE(PutFile(container.container_id(), "in.csv", "3,4").ok());
  EXPECT_EQ(PutFile(container.container_id(), "in.csv", "5").error_code(), grpc::StatusCode::ALREADY_EXISTS);
  std::vector<code::ExecuteEvent> events;
  ASSERT_TRUE(Execute(container.container_id(), "read in.csv\nerr e\nshow\nwrite out.csv", &events).ok());
  ASSERT_THAT(events, SizeIs(6));
  EXPECT_EQ(events[0].started().session_id(), container.container_id());
  EXPECT_EQ(events[1].stdout(), "3,4");
  EXPECT_EQ(events[2].stderr(), "e\n");
  EXPECT_EQ(events[3].display().data().at("image/png"), "png");
  EXPECT_TRUE(events[3].display().is_result());
  EXPECT_EQ(events[4].artifact().path(), "out.csv");
  EXPECT_EQ(events[5].finished().kind(), code::COMPLETED);
  EXPECT_EQ(events[5].finished().usage().wall_ms(), 3U);

  const v1::Container again = Open("work");
  EXPECT_EQ(again.container_id(), container.container_id());
  EXPECT_FALSE(again.created());
  EXPECT_EQ(again.calls(), 1U);
  v1::ListContainerFilesRequest list;
  list.set_container_id(container.container_id());
  code::ListFilesResponse listed;
  ASSERT_TRUE(containers_stub_.ListContainerFiles(Context().get(), list, &listed).ok());
  EXPECT_THAT(listed.files(), SizeIs(2));

  v1::DownloadContainerFileRequest wanted;
  wanted.set_container_id(container.container_id());
  wanted.set_path("out.csv");
  const auto context = Context();
  const auto reader = containers_stub_.DownloadContainerFile(context.get(), wanted);
  code::DownloadFileResponse part;
  std::string bytes;
  while (reader->Read(&part)) bytes += part.data();
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(bytes, "1,2");
}

TEST_F(ServicesTest, HowCodeEndedIsToldWhole) {
  const v1::Container container = Open("work");
  std::vector<code::ExecuteEvent> events;
  ASSERT_TRUE(Execute(container.container_id(), "raise", &events).ok());
  EXPECT_EQ(events.back().finished().kind(), code::RAISED);
  EXPECT_THAT(events.back().finished().exception().traceback(), HasSubstr("ValueError"));
  ASSERT_TRUE(Execute(container.container_id(), "die", &events).ok());
  EXPECT_EQ(events.back().finished().kind(), code::MEMORY_LIMIT);
  EXPECT_EQ(events.back().finished().limit(), code::LIMIT_MEMORY);
  EXPECT_EQ(events.back().finished().limit_value(), 1U << 30);
  EXPECT_FALSE(events.back().finished().state_kept());
  EXPECT_EQ(Execute(container.container_id(), "out x", nullptr).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Open("work").state(), code::SESSION_STATE_DEAD);
}

TEST_F(ServicesTest, AContainersFilesGoIntoAnArchiveAndAnotherContainer) {
  const auto archive_of = [&](const std::string& container, std::string& archive,
                              std::optional<std::string> key = std::nullopt) {
    v1::ExportContainerFilesRequest request;
    request.set_container_id(container);
    const auto context = Context(std::move(key));
    const auto reader = containers_stub_.ExportContainerFiles(context.get(), request);
    code::ExportWorkspaceResponse part;
    while (reader->Read(&part)) archive += part.data();
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(!status.ok() || part.has_summary()) << "the summary is last";
    return status;
  };
  const auto import = [&](const std::string& container, const std::string& archive, bool replace,
                          code::ImportWorkspaceResponse& response, std::optional<std::string> key = std::nullopt) {
    const auto context = Context(std::move(key));
    const auto writer = containers_stub_.ImportContainerFiles(context.get(), &response);
    v1::ImportContainerFilesRequest part;
    part.mutable_header()->set_container_id(container);
    part.mutable_header()->set_replace(replace);
    writer->Write(part);
    for (size_t at = 0; at < archive.size(); at += 3) {
      part.set_data(archive.substr(at, 3));
      writer->Write(part);
    }
    writer->WritesDone();
    return writer->Finish();
  };
  const std::string from = Open("from").container_id(), to = Open("to").container_id();
  ASSERT_TRUE(PutFile(from, "a.csv", "1,2").ok());
  ASSERT_TRUE(PutFile(from, "b.csv", "3").ok());
  std::string archive;
  ASSERT_TRUE(archive_of(from, archive).ok());
  EXPECT_EQ(archive, "a.csv=1,2\nb.csv=3\n");
  code::ImportWorkspaceResponse imported;
  ASSERT_TRUE(import(to, archive, false, imported).ok());
  EXPECT_EQ(imported.summary().files(), 2U);
  EXPECT_EQ(imported.summary().bytes(), 4U);
  EXPECT_EQ(import(to, archive, false, imported).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_TRUE(import(to, archive, true, imported).ok());
  EXPECT_EQ(import(to, "no archive\n", true, imported).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(archive_of(from, archive, other_).error_code(), grpc::StatusCode::NOT_FOUND) << "another's project";
  EXPECT_EQ(import(to, archive, true, imported, other_).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServicesTest, ACallWithoutAContainerLeavesItsFilesForAWhile) {
  std::vector<code::ExecuteEvent> events;
  ASSERT_TRUE(Execute("", "write a.csv", &events).ok());
  v1::DownloadContainerFileRequest wanted;
  wanted.set_container_id(events[0].started().session_id());
  wanted.set_path("a.csv");
  const auto download = [&](const std::string& key) {
    const auto context = Context(key);
    const auto reader = containers_stub_.DownloadContainerFile(context.get(), wanted);
    code::DownloadFileResponse part;
    while (reader->Read(&part)) {
    }
    return reader->Finish().error_code();
  };
  EXPECT_EQ(download(secret_), grpc::StatusCode::OK);
  EXPECT_EQ(download(other_), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServicesTest, AContainerThatExpiredIsMadeAnewByItsName) {
  const v1::Container container = Open("work");
  host_.ExpireAll();
  v1::GetContainerRequest get;
  get.set_container_id(container.container_id());
  v1::Container seen;
  ASSERT_TRUE(containers_stub_.GetContainer(Context().get(), get, &seen).ok());
  EXPECT_EQ(seen.state(), code::SESSION_STATE_UNSPECIFIED);
  EXPECT_EQ(Execute(container.container_id(), "out x", nullptr).error_code(), grpc::StatusCode::NOT_FOUND);
  const v1::Container anew = Open("work");
  EXPECT_EQ(anew.container_id(), container.container_id());
  EXPECT_TRUE(anew.created());
  EXPECT_TRUE(Execute(container.container_id(), "out x", nullptr).ok());
}

TEST_F(ServicesTest, CancellingAndInterruptingEndTheCode) {
  const v1::Container container = Open("work");
  v1::ExecuteRequest request;
  request.set_container_id(container.container_id());
  request.set_code("out x\nhang");
  code::ExecuteEvent event;
  {
    const auto context = Context();
    const auto reader = containers_stub_.Execute(context.get(), request);
    ASSERT_TRUE(reader->Read(&event));
    context->TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  for (int i = 0; i < 250 && host_.abandoned() == 0; ++i) absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(host_.abandoned(), 1);

  const auto context = Context();
  const auto reader = containers_stub_.Execute(context.get(), request);
  ASSERT_TRUE(reader->Read(&event));
  ASSERT_TRUE(reader->Read(&event));
  v1::InterruptRequest interrupt;
  interrupt.set_container_id(container.container_id());
  code::InterruptResponse interrupted;
  ASSERT_TRUE(containers_stub_.Interrupt(Context().get(), interrupt, &interrupted).ok());
  EXPECT_TRUE(interrupted.interrupted());
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.finished().exception().name(), "KeyboardInterrupt");
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_TRUE(reader->Finish().ok());
}

// Every call of every service, with a key of another project on objects that exist.
TEST_F(ServicesTest, AnotherProjectsObjectsAreNotFound) {
  const v1::File file = Upload("a.txt", "text");
  const auto store = stores_->Create(ProjectId("p"), {.files = {{.file_id = FileId(file.file_id())}}});
  ASSERT_TRUE(store.ok());
  const v1::Container container = Open("work");
  ASSERT_TRUE(PutFile(container.container_id(), "a", "1").ok());
  constexpr auto kNotFound = grpc::StatusCode::NOT_FOUND;

  const auto file_call = [&](auto method, auto request, auto response) {
    request.set_file_id(file.file_id());
    return (files_stub_.*method)(Context(other_).get(), request, &response).error_code();
  };
  EXPECT_EQ(file_call(&v1::Files::Stub::GetFile, v1::GetFileRequest(), v1::File()), kNotFound);
  EXPECT_EQ(file_call(&v1::Files::Stub::DeleteFile, v1::DeleteFileRequest(), v1::DeleteFileResponse()), kNotFound);
  {
    v1::DownloadFileRequest request;
    request.set_file_id(file.file_id());
    const auto context = Context(other_);
    const auto reader = files_stub_.DownloadFile(context.get(), request);
    v1::DownloadFileResponse part;
    EXPECT_FALSE(reader->Read(&part));
    EXPECT_EQ(reader->Finish().error_code(), kNotFound);
  }
  v1::ListFilesResponse files;
  ASSERT_TRUE(files_stub_.ListFiles(Context(other_).get(), {}, &files).ok());
  EXPECT_THAT(files.files(), SizeIs(0));

  const auto store_call = [&](auto method, auto request, auto response) {
    request.set_vector_store_id(store->id.value);
    return (stores_stub_.*method)(Context(other_).get(), request, &response).error_code();
  };
  using S = v1::VectorStores::Stub;
  EXPECT_EQ(store_call(&S::GetVectorStore, v1::GetVectorStoreRequest(), v1::VectorStore()), kNotFound);
  EXPECT_EQ(store_call(&S::DeleteVectorStore, v1::DeleteVectorStoreRequest(), v1::DeleteVectorStoreResponse()),
            kNotFound);
  EXPECT_EQ(store_call(&S::ListVectorStoreFiles, v1::ListVectorStoreFilesRequest(), v1::ListVectorStoreFilesResponse()),
            kNotFound);
  const auto store_file_call = [&](auto method, auto request, auto response) {
    request.set_file_id(file.file_id());
    return store_call(method, request, response);
  };
  EXPECT_EQ(store_file_call(&S::AddVectorStoreFile, v1::AddVectorStoreFileRequest(), v1::VectorStoreFile()), kNotFound);
  EXPECT_EQ(store_file_call(&S::GetVectorStoreFile, v1::GetVectorStoreFileRequest(), v1::VectorStoreFile()), kNotFound);
  EXPECT_EQ(store_file_call(&S::RemoveVectorStoreFile, v1::RemoveVectorStoreFileRequest(),
                            v1::RemoveVectorStoreFileResponse()),
            kNotFound);
  v1::CiteVectorStoreFileRequest cite;
  cite.mutable_span()->set_end(1);
  EXPECT_EQ(store_file_call(&S::CiteVectorStoreFile, cite, retrieval::v1::Citation()), kNotFound);
  {
    v1::RenderVectorStoreFilePageRequest request;
    request.set_vector_store_id(store->id.value);
    request.set_file_id(file.file_id());
    request.set_page(1);
    const auto context = Context(other_);
    const auto reader = stores_stub_.RenderVectorStoreFilePage(context.get(), request);
    v1::RenderVectorStoreFilePageResponse part;
    EXPECT_FALSE(reader->Read(&part));
    EXPECT_EQ(reader->Finish().error_code(), kNotFound);
  }
  v1::ListVectorStoresResponse stores;
  ASSERT_TRUE(stores_stub_.ListVectorStores(Context(other_).get(), {}, &stores).ok());
  EXPECT_THAT(stores.vector_stores(), SizeIs(0));
  // A file of one project cannot be put into a store of another.
  v1::VectorStore theirs;
  ASSERT_TRUE(stores_stub_.CreateVectorStore(Context(other_).get(), {}, &theirs).ok());
  v1::AddVectorStoreFileRequest add;
  add.set_vector_store_id(theirs.vector_store_id());
  add.set_file_id(file.file_id());
  v1::VectorStoreFile added;
  EXPECT_EQ(stores_stub_.AddVectorStoreFile(Context(other_).get(), add, &added).error_code(), kNotFound);

  const auto container_call = [&](auto method, auto request, auto response) {
    request.set_container_id(container.container_id());
    return (containers_stub_.*method)(Context(other_).get(), request, &response).error_code();
  };
  using C = v1::Containers::Stub;
  EXPECT_EQ(container_call(&C::GetContainer, v1::GetContainerRequest(), v1::Container()), kNotFound);
  EXPECT_EQ(container_call(&C::Interrupt, v1::InterruptRequest(), code::InterruptResponse()), kNotFound);
  EXPECT_EQ(container_call(&C::ListContainerFiles, v1::ListContainerFilesRequest(), code::ListFilesResponse()),
            kNotFound);
  v1::DeleteContainerFileRequest remove;
  remove.set_path("a");
  EXPECT_EQ(container_call(&C::DeleteContainerFile, remove, code::DeleteFileResponse()), kNotFound);
  v1::DeleteContainerRequest end;
  end.set_container_id(container.container_id());
  v1::DeleteContainerResponse ended;
  ASSERT_TRUE(containers_stub_.DeleteContainer(Context(other_).get(), end, &ended).ok());
  EXPECT_FALSE(ended.existed());
  EXPECT_EQ(Execute(container.container_id(), "out x", nullptr, other_).error_code(), kNotFound);
  EXPECT_EQ(PutFile(container.container_id(), "b", "1", other_).error_code(), kNotFound);
  v1::ListContainersResponse containers;
  ASSERT_TRUE(containers_stub_.ListContainers(Context(other_).get(), {}, &containers).ok());
  EXPECT_THAT(containers.containers(), SizeIs(0));
  v1::CreateContainerRequest same_name;
  same_name.set_name("work");
  v1::Container own;
  ASSERT_TRUE(containers_stub_.CreateContainer(Context(other_).get(), same_name, &own).ok());
  EXPECT_NE(own.container_id(), container.container_id());
  // And nothing of it was touched.
  EXPECT_TRUE(Execute(container.container_id(), "out x", nullptr).ok());
}

// A store of files in which `meanwhile` happens just before the first is read.
class InterruptedFiles final : public FileStore {
 public:
  InterruptedFiles(FileStore& files, std::function<void()> meanwhile)
      : files_(files), meanwhile_(std::move(meanwhile)) {}
  absl::StatusOr<std::unique_ptr<BlobWriter>> Create(uint64_t bytes_max) override { return files_.Create(bytes_max); }
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(std::string_view sha256) override {
    if (const auto act = std::exchange(meanwhile_, nullptr)) act();
    return files_.Open(sha256);
  }
  absl::Status Remove(std::string_view sha256) override { return files_.Remove(sha256); }
  absl::StatusOr<std::vector<std::string>> List() override { return files_.List(); }

 private:
  FileStore& files_;
  std::function<void()> meanwhile_;
};

TEST_F(ServicesTest, TheSecondOfTwoCompletionsOfAnUploadIsToldThatItIsCompleted) {
  Uploads uploads(*backing_, *files_);
  const ProjectId project("p");
  const FileUpload upload =
      *uploads.Create(project, {.filename = "a.txt", .purpose = "assistants", .mime_type = "text/plain", .bytes = 3});
  const auto writer = *blobs_->Create(10);
  ASSERT_TRUE(writer->Append("abc").ok());
  const UploadPart part = *uploads.AddPart(project, upload.id, *writer->Finish());
  // The first comes to its end while the second has looked and not yet read. The whole has the part's bytes here, so
  // that it is the file that goes too which takes them away for the second.
  InterruptedFiles slow(*blobs_, [&] {
    const auto first = uploads.Complete(project, upload.id, {part.id}, "");
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_TRUE(files_->Delete(project, first->file.id).ok());
  });
  Backing backing{storage_->repository(), slow, search_, clock_, ids_};
  Uploads second(backing, *files_);
  const absl::Status status = second.Complete(project, upload.id, {part.id}, "").status();
  const auto error = ErrorOf(status);
  ASSERT_TRUE(error.has_value()) << status;
  EXPECT_EQ(error->kind, ErrorKind::kInvalidRequest);
  EXPECT_THAT(error->args.front(), HasSubstr("completed"));
}

TEST_F(ServicesTest, AWrongNameOfAContainerIsToldWhatWouldBeRight) {
  v1::CreateContainerRequest request;
  request.set_name(std::string(257, 'n'));
  v1::Container container;
  const grpc::Status status = containers_stub_.CreateContainer(Context().get(), request, &container);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("1 to 256 characters"));
}

TEST_F(ServicesTest, EveryCallNeedsAKey) {
  grpc::ClientContext a, b, c;
  v1::ListFilesResponse files;
  v1::ListVectorStoresResponse stores;
  v1::ListContainersResponse containers;
  EXPECT_EQ(files_stub_.ListFiles(&a, {}, &files).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(stores_stub_.ListVectorStores(&b, {}, &stores).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(containers_stub_.ListContainers(&c, {}, &containers).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Execute("", "out x", nullptr, "sk-wrong-1234567890").error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace carrel::gateway
