// The service as a client sees it: a real gRPC server on a unix socket, the real model, the real extractor (as a plain
// process; the jail has its own tests).
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pdf/pdf_writer.h"
#include "process_jail_maker.h"
#include "retrieval/document_text.h"
#include "retrieval/extraction.h"
#include "retrieval/model_path.h"
#include "retrieval/page_painter.h"
#include "retrieval/png_check.h"
#include "retrieval/service/retrieval_service.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "rpc/status.h"

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kOwner[] = "project-a";
constexpr uint32_t kPagesMax = 100;

std::string ReadFile(const std::filesystem::path& path) {
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
        {.version = "test", .reading = {.pages_max = 1234}, .document_bytes_max = 16u << 20, .painter = painter_.get()},
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
      EXPECT_THAT(hit.passage(), HasSubstr(citation.quote()));
      EXPECT_GE(citation.first_page(), 1u);
      EXPECT_LE(citation.first_page(), citation.last_page());
      EXPECT_THAT(citation.first_page_label(), Not(IsEmpty()));
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

constexpr char kManual[] =
    "# Coffee machine\n\nFill the tank with cold water before the first use.\n\n## Descaling\n\n"
    "Descale the machine every three months. Dissolve one sachet in a litre of water and run the program twice.\n\n"
    "## Guarantee\n\nThe guarantee covers two years from the day of purchase. Keep the receipt.\n";

TEST_F(ServiceTest, AMarkdownFileIsReadSearchedAndCited) {
  const std::string store = MakeStore();
  const v1::Document document = Add(store, "manual.md", kManual);
  ASSERT_EQ(document.status(), v1::COMPLETED) << document.message();
  EXPECT_EQ(document.verdict(), v1::READ);
  EXPECT_GT(document.passages(), 0u);
  EXPECT_GT(document.usage_bytes(), document.size_bytes());
  EXPECT_EQ(document.progress().phase(), "done");
  const v1::SearchResponse answer = Search(store, "How often do I have to remove limescale?");
  ASSERT_GT(answer.hits_size(), 0);
  const v1::Hit& hit = answer.hits(0);
  EXPECT_THAT(hit.citations(0).quote(), HasSubstr("every three months"));
  EXPECT_GT(hit.vector_score(), 0.2);
  EXPECT_GT(answer.elapsed_us(), 0u);
  CheckCitations(store, hit, false);
}

TEST_F(ServiceTest, FatesOfBrokenPdfsAreTold) {
  const std::string store = MakeStore();
  const v1::Document damaged = Add(store, "broken.pdf", "%PDF-1.4\nnot much more");
  EXPECT_EQ(damaged.status(), v1::FAILED);
  EXPECT_EQ(damaged.verdict(), v1::DAMAGED) << damaged.message();
  EXPECT_THAT(damaged.message(), Not(IsEmpty()));
  const v1::Document empty = Add(store, "empty.pdf", "");
  EXPECT_EQ(empty.verdict(), v1::EMPTY) << empty.message();
  const v1::Document other = Add(store, "picture.png", "\x89PNG");
  EXPECT_EQ(other.verdict(), v1::UNSUPPORTED) << other.message();
  EXPECT_THAT(Search(store, "anything").hits(), IsEmpty());
}

TEST_F(ServiceTest, EveryFateHasASentenceOfItsOwn) {
  using carrel::testing::PdfOfPages;
  using carrel::testing::ShowText;
  const std::string store = MakeStore();
  const std::string words = ShowText("A lighthouse.");
  const struct {
    const char* name;
    std::string bytes;
    v1::Verdict verdict;
    const char* says;
  } kFates[] = {
      {"locked.pdf", ReadFile(CARREL_TESTDATA "/pdf/odd/encrypted_aes256.pdf"), v1::ENCRYPTED, "needs a password"},
      {"broken.pdf", "%PDF-1.7\nnothing", v1::DAMAGED, "damaged"},
      {"nothing.pdf", "", v1::EMPTY, "not a byte"},
      {"pageless.pdf", PdfOfPages({}), v1::EMPTY, "no page"},
      {"scan.pdf", PdfOfPages({"0.5 g 100 100 400 600 re f"}), v1::NO_TEXT, "character recognition"},
      {"liar.pdf", "Just text.", v1::UNSUPPORTED, "says PDF"},
      {"new.pdf", PdfOfPages({words}, {}, "", "/Filter /FutureDecode"), v1::UNSUPPORTED, "compressed in a way"},
      {"many.pdf", PdfOfPages(std::vector<std::string>(kPagesMax + 1, words)), v1::PARTIAL, "Only 100 of 101 pages"},
  };
  std::set<std::string> sentences;
  for (const auto& fate : kFates) {
    const v1::Document document = Add(store, fate.name, fate.bytes);
    EXPECT_EQ(document.verdict(), fate.verdict) << fate.name << ": " << document.message();
    EXPECT_THAT(document.message(), HasSubstr(fate.says)) << fate.name;
    EXPECT_EQ(document.status(), fate.verdict == v1::PARTIAL ? v1::COMPLETED : v1::FAILED) << fate.name;
    EXPECT_TRUE(sentences.insert(document.message()).second) << "said twice: " << document.message();
  }
}

TEST_F(ServiceTest, QuotesOfPdfsStandWhereTheySay) {
  const std::string store = MakeStore(200);
  int read = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(CARREL_TESTDATA "/pdf")) {
    if (entry.path().extension() != ".pdf") continue;
    const v1::Document document = Add(store, entry.path().filename().string(), ReadFile(entry.path()));
    EXPECT_NE(document.status(), v1::IN_PROGRESS);
    EXPECT_NE(document.verdict(), v1::INTERNAL) << document.message();
    if (document.status() != v1::COMPLETED) continue;
    ++read;
    const std::string text = Content(store, document.document_id());
    const absl::StatusOr<std::u32string> points = FromUtf8(text);
    ASSERT_TRUE(points.ok());
    EXPECT_EQ(points->size(), document.characters());
  }
  ASSERT_GT(read, 5);
  for (const char* query : {"the quiet river", "which letter crosses the bridge", "library catalogue", "series one two",
                            "temperature measurement in the laboratory", "東京", "expedition near the station"}) {
    const v1::SearchResponse answer = Search(store, query, 20);
    EXPECT_GT(answer.hits_size(), 0) << query;
    double last = 1;
    for (const v1::Hit& hit : answer.hits()) {
      EXPECT_LE(hit.score(), last);
      last = hit.score();
      CheckCitations(store, hit, true);
    }
  }
}

TEST_F(ServiceTest, SlidesAndSheetsAreCitedByTheirLabel) {
  const std::string store = MakeStore();
  for (const char* name : {"report.docx", "talk.pptx", "budget.xlsx"}) {
    const v1::Document document = Add(store, name, ReadFile(std::string(CARREL_TESTDATA "/office/") + name));
    ASSERT_EQ(document.status(), v1::COMPLETED) << name << ": " << document.message();
  }
  const std::pair<const char*, const char*> cases[] = {
      {"when does the library open on Monday", "sheet Opening hours"},
      {"joints are cheap to mend", "slide 3"},
      {"when was the old bridge built", "1"},
  };
  for (const auto& [query, label] : cases) {
    const v1::SearchResponse answer = Search(store, query, 1);
    ASSERT_EQ(answer.hits_size(), 1);
    EXPECT_EQ(answer.hits(0).citations(0).first_page_label(), label) << answer.hits(0).citations(0).quote();
    CheckCitations(store, answer.hits(0), false);
  }
  EXPECT_EQ(Add(store, "old.doc", "x").message(), "Files of the type \".doc\" are not read; save it as .docx.");
}

TEST_F(ServiceTest, RefusalsNameFieldValueAndWhatIsExpected) {
  const std::string store = MakeStore();
  absl::Status status;
  v1::SearchRequest search;
  search.set_owner(kOwner);
  search.add_store_ids(store);
  search.add_queries("x");
  search.set_max_results(51);
  Call(&v1::Retrieval::Stub::Search, search, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(rpc::DetailOf(status).has_value());
  EXPECT_EQ(rpc::DetailOf(status)->field(), "max_results");
  EXPECT_EQ(rpc::DetailOf(status)->value(), "51");
  EXPECT_EQ(rpc::DetailOf(status)->expected(), "1 to 50");

  v1::CreateStoreRequest create;
  create.mutable_chunking()->set_max_chunk_size_tokens(200);
  create.mutable_chunking()->set_chunk_overlap_tokens(101);
  Call(&v1::Retrieval::Stub::CreateStore, create, &status);
  EXPECT_EQ(rpc::DetailOf(status)->field(), "chunking.chunk_overlap_tokens");

  Add(store, "a/b.txt", "x", true, &status);
  EXPECT_EQ(rpc::DetailOf(status)->field(), "header.file_name");
  Add("vs_none", "b.txt", "x", true, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  Add(store, "big.txt", std::string((16u << 20) + 1, 'x'), true, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rpc::DetailOf(status)->field(), "data");

  v1::GetStoreRequest other;
  other.set_owner("project-b");
  other.set_store_id(store);
  Call(&v1::Retrieval::Stub::GetStore, other, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
}

TEST_F(ServiceTest, ASpanIsCitedAndDrawn) {
  const std::string store = MakeStore();
  const v1::Document document = Add(store, "two.pdf", ReadFile(CARREL_TESTDATA "/pdf/prose/two_columns.pdf"));
  ASSERT_EQ(document.status(), v1::COMPLETED) << document.message();
  const v1::SearchResponse answer = Search(store, "the quiet river", 1);
  ASSERT_EQ(answer.hits_size(), 1);
  const v1::Citation& wanted = answer.hits(0).citations(0);
  const v1::Citation cited = Cite(store, document.document_id(), wanted.span().begin(), wanted.span().end());
  EXPECT_EQ(cited.SerializeAsString(), wanted.SerializeAsString());

  v1::RenderPageRequest request;
  request.set_store_id(store);
  request.set_document_id(document.document_id());
  *request.mutable_span() = wanted.span();
  const Drawn drawn = Draw(request);
  EXPECT_EQ(drawn.header.page(), wanted.first_page());
  EXPECT_EQ(drawn.header.page_label(), wanted.first_page_label());
  EXPECT_EQ(drawn.header.pages(), document.pages());
  EXPECT_EQ(drawn.header.dpi(), 144u);
  EXPECT_EQ(drawn.header.size_bytes(), drawn.png.size());
  EXPECT_EQ(drawn.header.citation().quote(), wanted.quote());
  const auto size = CheckPng(drawn.png);
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->width, drawn.header.width());
  EXPECT_EQ(size->height, drawn.header.height());

  // Boxes of one's own, on another page, at another resolution.
  request.clear_span();
  request.set_page(2);
  request.set_dpi(36);
  *request.add_boxes() = wanted.boxes(0);
  const Drawn other = Draw(request);
  EXPECT_EQ(other.header.page(), 2u);
  EXPECT_FALSE(other.header.has_citation());
  EXPECT_LT(other.header.width(), drawn.header.width());
}

TEST_F(ServiceTest, WhatCannotBeCitedOrDrawnIsNamed) {
  const std::string store = MakeStore();
  const v1::Document text = Add(store, "manual.md", kManual);
  const v1::Document pdf = Add(store, "plain.pdf", ReadFile(CARREL_TESTDATA "/pdf/prose/plain.pdf"));
  absl::Status status;
  const auto field = [&] { return rpc::DetailOf(status).has_value() ? rpc::DetailOf(status)->field() : "none"; };
  for (const auto& [begin, end] : {std::pair(5, 5), std::pair(9, 5), std::pair(0, 30'000), std::pair(1'000, 1'100)}) {
    Cite(store, text.document_id(), static_cast<uint64_t>(begin), static_cast<uint64_t>(end), &status);
    EXPECT_EQ(field(), "span") << begin << ":" << end << " " << status;
  }
  Cite(store, "file-none", 0, 5, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);

  v1::RenderPageRequest request;
  request.set_store_id(store);
  request.set_document_id(pdf.document_id());
  Draw(request, &status);
  EXPECT_EQ(field(), "page") << status;
  request.set_page(999);
  Draw(request, &status);
  EXPECT_EQ(field(), "page") << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(pdf.pages(), " pages")));
  request.mutable_span()->set_end(10);
  request.set_page(2);
  Draw(request, &status);
  EXPECT_THAT(std::string(status.message()), HasSubstr("where the span stands"));
  request.set_page(1);
  request.set_dpi(5);
  Draw(request, &status);
  EXPECT_EQ(field(), "dpi");
  request.set_dpi(0);
  request.set_owner("project-b");
  Draw(request, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  request.set_owner(kOwner);
  request.set_document_id(text.document_id());
  Draw(request, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("manual.md has no layout"));
}

TEST_F(ServiceTest, PagesWithoutTextAreToldAndTheOthersFound) {
  const std::string store = MakeStore();
  const v1::Document document =
      Add(store, "scans.pdf",
          carrel::testing::PdfOfPages({carrel::testing::ShowText("The lighthouse stands on the northern cliff."), "",
                                       "0.5 g 100 100 400 600 re f",
                                       carrel::testing::ShowText("Its keeper was called Johanna.")}));
  EXPECT_EQ(document.status(), v1::COMPLETED);
  EXPECT_EQ(document.verdict(), v1::READ);
  EXPECT_THAT(document.message(), HasSubstr("Pages 2 and 3 have no text"));
  const v1::SearchResponse answer = Search(store, "Who kept the lighthouse?");
  ASSERT_GT(answer.hits_size(), 0);
  CheckCitations(store, answer.hits(0), true);
}

TEST_F(ServiceTest, MarkersBecomeCitations) {
  const std::string store = MakeStore();
  Add(store, "manual.md", kManual);
  const v1::SearchResponse answer = Search(store, "How long is the guarantee?");
  ASSERT_GT(answer.hits_size(), 0);
  v1::AnnotateRequest request;
  request.set_text("Größe: two years 【4:0†manual.md】, says 【4:99†nobody】.");
  *request.mutable_hits() = answer.hits();
  const v1::AnnotateResponse reply = Call(&v1::Retrieval::Stub::Annotate, request);
  ASSERT_EQ(reply.annotations_size(), 2);
  EXPECT_EQ(reply.annotations(0).marker(), "【4:0†manual.md】");
  EXPECT_EQ(reply.annotations(0).marker_span().begin(), 17u);
  EXPECT_EQ(reply.annotations(0).marker_span().end(), 32u);
  EXPECT_EQ(reply.annotations(0).document_id(), answer.hits(0).document_id());
  EXPECT_EQ(reply.annotations(0).citation().quote(), answer.hits(0).citations(0).quote());
  EXPECT_FALSE(reply.annotations(1).has_hit());
}

TEST_F(ServiceTest, EmbedGivesUnitVectors) {
  v1::EmbedRequest request;
  request.add_texts("a wing in a slipstream");
  request.add_texts(std::string(20'000, 'x') + " tail");
  const v1::EmbedResponse reply = Call(&v1::Retrieval::Stub::Embed, request);
  ASSERT_EQ(reply.vectors_size(), 2);
  double norm = 0;
  for (const float v : reply.vectors(0).values()) norm += double{v} * v;
  EXPECT_NEAR(norm, 1, 1e-5);
  EXPECT_EQ(reply.vectors(0).values_size(), 384);
}

TEST_F(ServiceTest, CapabilitiesTellModelsAndTypes) {
  const v1::Capabilities reply = Call(&v1::Retrieval::Stub::GetCapabilities, v1::GetCapabilitiesRequest());
  EXPECT_EQ(reply.default_model(), "bge-small-en-v1.5");
  ASSERT_EQ(reply.models_size(), 1);
  EXPECT_EQ(reply.models(0).window_tokens(), 512u);
  EXPECT_THAT(reply.vector_instructions(), ::testing::AnyOf("AVX2", "SSE"));
  EXPECT_THAT(reply.extensions(), ::testing::IsSupersetOf({".pdf", ".txt", ".md"}));
  EXPECT_EQ(reply.reading_limits().pages_max(), 1234u);
  EXPECT_EQ(reply.reading_limits().cpu_seconds_max(), 300u);
  EXPECT_EQ(reply.reading_limits().memory_bytes_max(), 1u << 30);
  EXPECT_EQ(reply.reading_limits().wall_ms_max(), 600'000u);
}

TEST_F(ServiceTest, ListsGoOnAfterADocument) {
  const std::string store = MakeStore();
  for (int i = 0; i < 5; ++i) Add(store, "n.txt", absl::StrCat("Note number ", i, "."), false);
  v1::ListDocumentsRequest request;
  request.set_owner(kOwner);
  request.set_store_id(store);
  request.set_limit(2);
  int seen = 0;
  for (bool more = true; more;) {
    const v1::ListDocumentsResponse page = Call(&v1::Retrieval::Stub::ListDocuments, request);
    ASSERT_GT(page.documents_size(), 0);
    seen += page.documents_size();
    more = page.has_more();
    request.set_after(page.documents(page.documents_size() - 1).document_id());
  }
  EXPECT_EQ(seen, 5);
  v1::DeleteStoreRequest remove;
  remove.set_owner(kOwner);
  remove.set_store_id(store);
  EXPECT_TRUE(Call(&v1::Retrieval::Stub::DeleteStore, remove).existed());
  EXPECT_FALSE(Call(&v1::Retrieval::Stub::DeleteStore, remove).existed());
}

// Bombs and broken files among good ones, all at once: the good ones are there, each of the others ends with its own
// sentence, and the workers go on.
TEST_F(ServiceTest, HostileDocumentsKeepNobodyWaiting) {
  LibraryOptions options{.ingest_workers = 2, .ingest_slice = absl::Milliseconds(200)};
  options.extraction.cpu_seconds_max = 2;
  options.extraction.memory_bytes_max = 2ull << 30;
  OpenLibrary(std::move(options));
  const std::string store = MakeStore();
  const std::string bomb = carrel::testing::Bomb(9), good = ReadFile(CARREL_TESTDATA "/pdf/prose/plain.pdf");
  struct Wanted {
    std::string id;
    v1::DocumentStatus status;
    v1::Verdict verdict;
    std::string message;
  };
  std::vector<Wanted> wanted;
  const auto add = [&](const std::string& name, const std::string& bytes, v1::DocumentStatus status,
                       v1::Verdict verdict, const std::string& message) {
    wanted.push_back({Add(store, name, bytes, false).document_id(), status, verdict, message});
  };
  for (int i = 0; i < 3; ++i) {
    add("bomb.pdf", absl::StrCat(bomb, "% ", i, "\n"), v1::FAILED, v1::LIMIT, "processor time");
    add("broken.pdf", absl::StrCat("%PDF-1.4\nnot much more ", i), v1::FAILED, v1::DAMAGED, "");
    add("latin.txt", absl::StrCat("caf\xE9 ", i), v1::FAILED, v1::UNSUPPORTED, "");
    add("picture.png", absl::StrCat("\x89PNG", i), v1::FAILED, v1::UNSUPPORTED, "not read");
    for (int j = 0; j < 4; ++j) {
      add("note.md", absl::StrCat(kManual, "\nNote ", i, " of ", j, "."), v1::COMPLETED, v1::READ, "");
    }
    add("good.pdf", absl::StrCat(good, "% ", i, "\n"), v1::COMPLETED, v1::READ, "");
  }
  add("empty.txt", "", v1::FAILED, v1::EMPTY, "");
  const auto await = [&](const Wanted& one) {
    v1::GetDocumentRequest request;
    request.set_owner(kOwner);
    request.set_store_id(store);
    request.set_document_id(one.id);
    v1::Document document;
    for (const absl::Time end = absl::Now() + absl::Seconds(120); absl::Now() < end;
         absl::SleepFor(absl::Milliseconds(10))) {
      document = Call(&v1::Retrieval::Stub::GetDocument, request);
      if (document.status() != v1::IN_PROGRESS) break;
    }
    EXPECT_EQ(document.status(), one.status) << document.file_name() << ": " << document.message();
    EXPECT_EQ(document.verdict(), one.verdict) << document.file_name() << ": " << document.message();
    EXPECT_THAT(document.message(), HasSubstr(one.message)) << document.file_name();
    if (one.status == v1::FAILED) {
      EXPECT_THAT(document.message(), Not(IsEmpty())) << document.file_name();
    }
  };
  for (const Wanted& one : wanted) {
    if (one.status == v1::COMPLETED) await(one);
  }
  for (const Wanted& one : wanted) await(one);
  EXPECT_EQ(Add(store, "last.md", kManual).status(), v1::COMPLETED) << "the workers are there";
}

TEST_F(ServiceTest, AStreamThatIsCutOffAddsNothing) {
  const std::string store = MakeStore();
  {
    grpc::ClientContext context;
    Deadline(context);
    v1::Document reply;
    const auto writer = stub_->AddDocument(&context, &reply);
    v1::AddDocumentRequest part;
    part.mutable_header()->set_owner(kOwner);
    part.mutable_header()->set_store_id(store);
    part.mutable_header()->set_file_name("cut.txt");
    ASSERT_TRUE(writer->Write(part));
    part.set_data("half of it");
    ASSERT_TRUE(writer->Write(part));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  server_->Shutdown();
  EXPECT_THAT(library_->ListDocuments({.owner = kOwner, .store_id = store})->documents, IsEmpty());
}

}  // namespace
}  // namespace carrel::retrieval
