// The service as a client sees it: a real gRPC server on a unix socket, the real model, the real extractor (as a plain
// process; the jail has its own tests).
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "process_jail_maker.h"
#include "retrieval/extraction.h"
#include "retrieval/model_path.h"
#include "retrieval/page_painter.h"
#include "retrieval/service/retrieval_service.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "rpc/status.h"

namespace carrel::retrieval {

inline constexpr char kOwner[] = "project-a";
inline constexpr uint32_t kPagesMax = 100;

inline std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "/svc-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    directory_ = path;
    jails_ = carrel::testing::MakeProcessJailMaker("extract", {CARREL_BIN "/carrel-extract"});
    extractor_ = MakeJailedExtractor(*jails_);
    OpenLibrary({});
  }
  void OpenLibrary(LibraryOptions options) {
    TearDownServer();
    options.directory = directory_ + "/data";
    options.extraction.pages_max = kPagesMax;
    absl::StatusOr<std::unique_ptr<Library>> library =
        Library::Open(std::move(options), {&SharedEmbedder()}, *extractor_);
    ASSERT_TRUE(library.ok()) << library.status();
    library_ = *std::move(library);
    painter_ = MakeJailedPainter(*jails_);
    service_ = MakeRetrievalService(
        {.version = "test", .reading = {.document_bytes_max = 16u << 20, .pages_max = 1234}, .painter = painter_.get()},
        *library_, {&SharedEmbedder()}, jails_.get());
    const absl::StatusOr<rpc::Address> address = rpc::ParseAddress(absl::StrCat("unix:", directory_, "/s"));
    ASSERT_TRUE(address.ok());
    absl::StatusOr<std::unique_ptr<rpc::Server>> server =
        rpc::Server::Start({.listen = *address}, {{service_.get(), std::string(v1::Retrieval::service_full_name())}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetServing(true);
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = rpc::MakeChannel({.address = *address});
    ASSERT_TRUE(channel.ok());
    stub_ = v1::Retrieval::NewStub(*channel);
  }
  void TearDownServer() {
    if (server_ != nullptr) server_->Shutdown();
    server_.reset();
    library_.reset();
  }
  void TearDown() override {
    TearDownServer();
    std::filesystem::remove_all(directory_);
  }

  static void Deadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }

  // One unary call; `status` takes the error, else it must be fine.
  template <typename Reply, typename Request>
  Reply Call(grpc::Status (v1::Retrieval::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
             const Request& request, absl::Status* status = nullptr) {
    grpc::ClientContext context;
    Deadline(context);
    Reply reply;
    const grpc::Status done = (stub_.get()->*method)(&context, request, &reply);
    if (status != nullptr) {
      *status = rpc::FromGrpc(done, context);
    } else {
      EXPECT_TRUE(done.ok()) << done.error_message();
    }
    return reply;
  }

  std::string MakeStore(uint32_t tokens = 0) {
    v1::CreateStoreRequest request;
    request.set_owner(kOwner);
    request.set_name("manuals");
    request.mutable_chunking()->set_max_chunk_size_tokens(tokens);
    return Call(&v1::Retrieval::Stub::CreateStore, request).store_id();
  }

  v1::Document Add(const std::string& store, const std::string& name, const std::string& bytes, bool wait = true,
                   absl::Status* status = nullptr) {
    grpc::ClientContext context;
    Deadline(context);
    v1::Document reply;
    const auto writer = stub_->AddDocument(&context, &reply);
    v1::AddDocumentRequest part;
    part.mutable_header()->set_owner(kOwner);
    part.mutable_header()->set_store_id(store);
    part.mutable_header()->set_file_name(name);
    part.mutable_header()->set_wait(wait);
    bool open = writer->Write(part);
    for (size_t begin = 0; open && begin < bytes.size(); begin += 1u << 20) {
      part.set_data(bytes.substr(begin, 1u << 20));
      open = writer->Write(part);
    }
    writer->WritesDone();
    const grpc::Status done = writer->Finish();
    if (status != nullptr) {
      *status = rpc::FromGrpc(done, context);
    } else {
      EXPECT_TRUE(done.ok()) << done.error_message();
    }
    return reply;
  }

  v1::SearchResponse Search(const std::string& store, const std::string& query, uint32_t results = 5) {
    v1::SearchRequest request;
    request.set_owner(kOwner);
    request.add_store_ids(store);
    request.add_queries(query);
    request.set_max_results(results);
    return Call(&v1::Retrieval::Stub::Search, request);
  }

  std::string Content(const std::string& store, const std::string& document, const v1::Span* span = nullptr) {
    grpc::ClientContext context;
    Deadline(context);
    v1::GetContentRequest request;
    request.set_owner(kOwner);
    request.set_store_id(store);
    request.set_document_id(document);
    if (span != nullptr) *request.mutable_span() = *span;
    const auto reader = stub_->GetContent(&context, request);
    std::string text;
    for (v1::GetContentResponse piece; reader->Read(&piece);) {
      EXPECT_LE(piece.text().size(), 64u << 10);
      text += piece.text();
    }
    const grpc::Status done = reader->Finish();
    EXPECT_TRUE(done.ok()) << done.error_message();
    return text;
  }

  v1::Citation Cite(const std::string& store, const std::string& document, uint64_t begin, uint64_t end,
                    absl::Status* status = nullptr) {
    v1::CiteRequest request;
    request.set_owner(kOwner);
    request.set_store_id(store);
    request.set_document_id(document);
    request.mutable_span()->set_begin(begin);
    request.mutable_span()->set_end(end);
    return Call(&v1::Retrieval::Stub::Cite, request, status);
  }

  struct Drawn {
    v1::PageHeader header;
    std::string png;
  };
  Drawn Draw(v1::RenderPageRequest request, absl::Status* status = nullptr) {
    grpc::ClientContext context;
    Deadline(context);
    if (request.owner().empty()) request.set_owner(kOwner);
    const auto reader = stub_->RenderPage(&context, request);
    Drawn drawn;
    for (v1::RenderPageResponse part; reader->Read(&part);) {
      EXPECT_EQ(part.has_header(), drawn.header.size_bytes() == 0);
      if (part.has_header()) drawn.header = part.header();
      EXPECT_LE(part.data().size(), 256u << 10);
      drawn.png += part.data();
    }
    const grpc::Status done = reader->Finish();
    if (status != nullptr) {
      *status = rpc::FromGrpc(done, context);
    } else {
      EXPECT_TRUE(done.ok()) << done.error_message();
    }
    return drawn;
  }

  // Every quote is the characters of its span, within the passage, on its pages, in boxes on them.
  void CheckCitations(const std::string& store, const v1::Hit& hit, bool layout) {
    ASSERT_GT(hit.citations_size(), 0);
    EXPECT_EQ(hit.passage(), Content(store, hit.document_id(), &hit.passage_span()));
    EXPECT_GT(hit.score(), 0);
    EXPECT_LE(hit.score(), 1);
    for (const v1::Citation& citation : hit.citations()) {
      EXPECT_EQ(citation.quote(), Content(store, hit.document_id(), &citation.span()));
      EXPECT_THAT(hit.passage(), ::testing::HasSubstr(citation.quote()));
      EXPECT_GE(citation.first_page(), 1u);
      EXPECT_LE(citation.first_page(), citation.last_page());
      EXPECT_THAT(citation.first_page_label(), ::testing::Not(::testing::IsEmpty()));
      EXPECT_EQ(layout, citation.boxes_size() > 0);
      for (const v1::Box& box : citation.boxes()) {
        EXPECT_GE(box.page(), citation.first_page());
        EXPECT_LE(box.page(), citation.last_page());
        EXPECT_LT(box.x_min(), box.x_max());
        EXPECT_LT(box.y_min(), box.y_max());
      }
    }
  }

  std::string directory_;
  std::unique_ptr<sandbox::JailMaker> jails_;
  std::unique_ptr<Extractor> extractor_;
  std::unique_ptr<PagePainter> painter_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<v1::Retrieval::Service> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::Retrieval::Stub> stub_;
};

inline constexpr char kManual[] =
    "# Coffee machine\n\nFill the tank with cold water before the first use.\n\n## Descaling\n\n"
    "Descale the machine every three months. Dissolve one sachet in a litre of water and run the program twice.\n\n"
    "## Guarantee\n\nThe guarantee covers two years from the day of purchase. Keep the receipt.\n";

}  // namespace carrel::retrieval
