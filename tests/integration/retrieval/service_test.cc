// The service's calls: documents in, verdicts, searches and lists out, and what is refused.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pdf/pdf_writer.h"
#include "service_fixture.h"

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

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
