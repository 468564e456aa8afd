#include "gateway/backends/retrieval_search_tool.h"

#include <gmock/gmock.h>

#include <mutex>

#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "gateway/types/error.h"
#include "in_process_server.h"
#include "rpc/status.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::retrieval::v1;
using ::testing::SizeIs;

class FakeRetrieval final : public pb::Retrieval::Service {
 public:
  grpc::Status CreateStore(grpc::ServerContext*, const pb::CreateStoreRequest* request, pb::Store*) override {
    created = *request;
    return grpc::Status::OK;
  }
  grpc::Status AddDocument(grpc::ServerContext*, grpc::ServerReader<pb::AddDocumentRequest>* reader,
                           pb::Document* reply) override {
    const std::lock_guard lock(mutex);
    pb::AddDocumentRequest message;
    bytes.clear();
    while (reader->Read(&message)) {
      if (message.has_header()) header = message.header();
      bytes += message.data();
    }
    reply->set_status(pb::IN_PROGRESS);
    return grpc::Status::OK;
  }
  grpc::Status GetDocument(grpc::ServerContext*, const pb::GetDocumentRequest* request, pb::Document* reply) override {
    if (request->document_id() == "file-none") return {grpc::StatusCode::NOT_FOUND, "no such document"};
    const std::lock_guard lock(mutex);
    *reply = document;
    return grpc::Status::OK;
  }
  grpc::Status GetContent(grpc::ServerContext*, const pb::GetContentRequest*,
                          grpc::ServerWriter<pb::GetContentResponse>* writer) override {
    pb::GetContentResponse part;
    for (const char* text : {"one ", "two"}) {
      part.set_text(text);
      writer->Write(part);
    }
    return grpc::Status::OK;
  }
  grpc::Status Search(grpc::ServerContext*, const pb::SearchRequest* request, pb::SearchResponse* reply) override {
    const std::lock_guard lock(mutex);
    searched = *request;
    pb::Hit& hit = *reply->add_hits();
    hit.set_document_id("file-1");
    hit.set_file_name("a.pdf");
    hit.set_score(0.5);
    hit.set_passage("passage");
    (*hit.mutable_attributes())["n"].set_number(2);
    hit.add_citations()->set_quote("quote");
    hit.mutable_citations(0)->set_first_page(3);
    hit.mutable_citations(0)->set_first_page_label("iii");
    hit.mutable_citations(0)->mutable_span()->set_end(5);
    hit.mutable_citations(0)->add_boxes()->set_x_max(4.5);
    hit.mutable_passage_span()->set_begin(2);
    hit.set_text_rank(6);
    reply->set_elapsed_us(1500);
    reply->set_vector_us(30);
    return grpc::Status::OK;
  }

  grpc::Status Cite(grpc::ServerContext* context, const pb::CiteRequest* request, pb::Citation* reply) override {
    if (request->span().end() > 10) {
      return rpc::ToGrpc(rpc::InvalidField("span", "0:11", "the text has 10 characters"), *context);
    }
    reply->set_quote("quote");
    reply->set_recognised(true);
    *reply->mutable_span() = request->span();
    return grpc::Status::OK;
  }
  grpc::Status RenderPage(grpc::ServerContext*, const pb::RenderPageRequest* request,
                          grpc::ServerWriter<pb::RenderPageResponse>* writer) override {
    if (request->page() == 2) return {grpc::StatusCode::FAILED_PRECONDITION, "page 2 cannot be drawn: it is damaged"};
    if (request->page() == 3) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many pages are being drawn"};
    pb::RenderPageResponse part;
    part.mutable_header()->set_page(1);
    writer->Write(part);
    for (const char* piece : {"PN", "G"}) {
      part.set_data(piece);
      writer->Write(part);
    }
    return grpc::Status::OK;
  }

  std::mutex mutex;  // of what follows
  pb::CreateStoreRequest created;
  pb::AddDocumentHeader header;
  std::string bytes;
  pb::Document document;
  pb::SearchRequest searched;
};

class RetrievalSearchToolTest : public ::testing::Test {
 protected:
  const ProjectId project_{"p"};
  FakeRetrieval retrieval_;
  InProcessServer server_{retrieval_};
  std::unique_ptr<SearchTool> tool_ = MakeRetrievalSearchTool(server_.channel, *server_.files, {});
};

TEST_F(RetrievalSearchToolTest, StoresAndFiles) {
  ASSERT_TRUE(
      tool_->EnsureStore(project_, StoreId("vs_1"), {.max_chunk_size_tokens = 200, .chunk_overlap_tokens = 50}).ok());
  EXPECT_EQ(retrieval_.created.owner(), "p");
  EXPECT_EQ(retrieval_.created.store_id(), "vs_1");
  EXPECT_EQ(retrieval_.created.chunking().chunk_overlap_tokens(), 50U);

  const std::string bytes(1'000'000, 'x');
  const VectorStoreFile file{.store_id = StoreId("vs_1"),
                             .file_id = FileId("file-1"),
                             .project = project_,
                             .attributes = {{"flag", true}, {"text", std::string("t")}}};
  const auto state = tool_->AddFile(file, {.filename = "a.pdf", .blob = server_.Keep(bytes)});
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->status, StoreFileStatus::kInProgress);
  EXPECT_EQ(retrieval_.header.document_id(), "file-1");
  EXPECT_TRUE(retrieval_.header.attributes().at("flag").flag());
  EXPECT_EQ(retrieval_.bytes, bytes);
  EXPECT_EQ(*tool_->FileText(project_, StoreId("vs_1"), FileId("file-1")), "one two");
}

TEST_F(RetrievalSearchToolTest, VerdictsBecomeErrors) {
  using Code = StoreFileError::Code;
  for (const auto& [verdict, code] :
       std::vector<std::pair<pb::Verdict, Code>>{{pb::UNSUPPORTED, Code::kUnsupportedFile},
                                                 {pb::ENCRYPTED, Code::kInvalidFile},
                                                 {pb::NO_TEXT, Code::kInvalidFile},
                                                 {pb::INTERNAL, Code::kServerError}}) {
    {
      const std::lock_guard lock(retrieval_.mutex);
      retrieval_.document.set_status(pb::FAILED);
      retrieval_.document.set_verdict(verdict);
      retrieval_.document.set_message("why");
      retrieval_.document.set_pages(4);
    }
    const auto state = tool_->FileState(project_, StoreId("vs_1"), FileId("file-1"));
    ASSERT_TRUE(state.ok());
    EXPECT_EQ(state->status, StoreFileStatus::kFailed);
    EXPECT_EQ(state->error, (StoreFileError{code, "why"}));
    EXPECT_EQ(state->facts.pages, 4U);
    EXPECT_EQ(state->facts.verdict, pb::Verdict_Name(verdict));
  }
  EXPECT_TRUE(absl::IsNotFound(tool_->FileState(project_, StoreId("vs_1"), FileId("file-none")).status()));
}

TEST_F(RetrievalSearchToolTest, CitesAndDrawsPages) {
  const StoreId store("vs_1");
  const FileId file("file-1");
  const auto cited = tool_->Cite(project_, store, file, {.begin = 2, .end = 7});
  ASSERT_TRUE(cited.ok()) << cited.status();
  EXPECT_EQ(cited->quote, "quote");
  EXPECT_TRUE(cited->recognised);
  EXPECT_EQ(cited->span, (TextSpan{.begin = 2, .end = 7}));
  const auto past = ErrorOf(tool_->Cite(project_, store, file, {.begin = 0, .end = 11}).status());
  ASSERT_TRUE(past.has_value());
  EXPECT_EQ(past->kind, ErrorKind::kInvalidRequest);
  EXPECT_EQ(past->param, "span");

  PictureRequest request{.project = project_, .store = store, .file = file, .page = 1};
  const auto picture = tool_->RenderPage(request);
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_EQ(picture->png, "PNG");
  request.page = 2;
  const auto damaged = ErrorOf(tool_->RenderPage(request).status());
  ASSERT_TRUE(damaged.has_value());
  EXPECT_EQ(damaged->args.at(0), "page 2 cannot be drawn: it is damaged");
  request.page = 3;
  EXPECT_EQ(ErrorOf(tool_->RenderPage(request).status())->kind, ErrorKind::kOverloaded);
}

TEST_F(RetrievalSearchToolTest, SearchesWithFilters) {
  using Op = SearchFilter::Op;
  const auto answer =
      tool_->Search({.project = project_,
                     .stores = {StoreId("vs_1"), StoreId("vs_2")},
                     .queries = {"q", std::string(5000, 'x')},
                     .max_results = 7,
                     .filter = SearchFilter{.op = Op::kOr,
                                            .filters = {{.op = Op::kEq, .key = "k", .values = {std::string("v")}},
                                                        {.op = Op::kIn, .key = "n", .values = {1.0, 2.0}}}},
                     .ranking = {.score_threshold = 0.25, .text_weight = 0.5, .rrf_k = 10}});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->times.elapsed_us, 1500U);
  EXPECT_EQ(answer->times.vector_us, 30U);
  const std::vector<SearchResult>& results = answer->results;
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results.at(0).file_id, FileId("file-1"));
  EXPECT_EQ(results.at(0).BestCitation().quote, "quote");
  EXPECT_EQ(results.at(0).BestCitation().first_page, 3);
  EXPECT_EQ(results.at(0).citations.at(0).first_page_label, "iii");
  EXPECT_EQ(results.at(0).citations.at(0).span, (TextSpan{.begin = 0, .end = 5}));
  EXPECT_EQ(results.at(0).citations.at(0).boxes.at(0).x_max, 4.5);
  EXPECT_EQ(results.at(0).passage_span.begin, 2U);
  EXPECT_EQ(results.at(0).parts.text_rank, 6U);
  EXPECT_EQ(results.at(0).attributes.at("n"), AttributeValue(2.0));
  const pb::SearchRequest& asked = retrieval_.searched;
  EXPECT_EQ(asked.store_ids_size(), 2);
  EXPECT_EQ(asked.queries(1).size(), 4096U);
  EXPECT_EQ(asked.filter().compound().op(), pb::Compound::OR);
  EXPECT_EQ(asked.filter().compound().filters(1).comparison().op(), pb::Comparison::IN);
  EXPECT_EQ(asked.ranking().score_threshold(), 0.25);
  EXPECT_EQ(asked.ranking().rrf_k(), 10U);
  EXPECT_TRUE(asked.ranking().has_text_weight());
  EXPECT_FALSE(asked.ranking().has_embedding_weight());
}

}  // namespace
}  // namespace carrel::gateway
