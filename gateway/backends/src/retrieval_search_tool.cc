#include "gateway/backends/retrieval_search_tool.h"

#include <grpcpp/client_context.h>

#include <utility>

#include "absl/time/clock.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "gateway/messages/retrieval.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"
#include "rpc/status.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::retrieval::v1;

constexpr std::size_t kPieceBytes = 256 * 1024;
constexpr int kHandOverFactor = 10;
constexpr int kPictureFactor = 3;

void Write(const Chunking& chunking, pb::Chunking& out) {
  out.set_max_chunk_size_tokens(chunking.max_chunk_size_tokens);
  out.set_chunk_overlap_tokens(chunking.chunk_overlap_tokens);
}

StoreFileError::Code CodeOf(pb::Verdict verdict) {
  switch (verdict) {
    case pb::UNSUPPORTED:
      return StoreFileError::Code::kUnsupportedFile;
    case pb::ENCRYPTED:
    case pb::DAMAGED:
    case pb::EMPTY:
    case pb::NO_TEXT:
    case pb::LIMIT:
    case pb::CRASHED:
      return StoreFileError::Code::kInvalidFile;
    default:
      return StoreFileError::Code::kServerError;
  }
}

StoreFileState StateOf(const pb::Document& document) {
  StoreFileState state{
      .usage_bytes = document.usage_bytes(),
      .facts = {.pages = document.pages(),
                .characters = document.characters(),
                .passages = document.passages(),
                .verdict = document.verdict() == pb::VERDICT_UNSPECIFIED ? "" : pb::Verdict_Name(document.verdict()),
                .message = document.message()},
      .progress = {.phase = document.progress().phase(),
                   .pages_done = document.progress().pages_done(),
                   .pages = document.progress().pages(),
                   .embedded = document.progress().embedded(),
                   .to_embed = document.progress().to_embed(),
                   .message = document.status() == pb::IN_PROGRESS ? document.message() : ""}};
  switch (document.status()) {
    case pb::COMPLETED:
      state.status = StoreFileStatus::kCompleted;
      break;
    case pb::FAILED:
      state.status = StoreFileStatus::kFailed;
      state.error = StoreFileError{.code = CodeOf(document.verdict()), .message = document.message()};
      break;
    case pb::CANCELLED:
      state.status = StoreFileStatus::kCancelled;
      break;
    default:
      break;
  }
  return state;
}

StoreModel ModelOf(const pb::Store& store) {
  StoreModel model{.name = store.model()};
  if (store.has_reembedding()) {
    const pb::Reembedding& change = store.reembedding();
    model.change = {.name = change.model(),
                    .documents_done = change.documents_done(),
                    .documents = change.documents(),
                    .embedded = change.embedded(),
                    .to_embed = change.to_embed(),
                    .documents_failed = change.documents_failed(),
                    .message = change.message()};
  }
  return model;
}

// What the service says of a request that cannot be met is for the client to read.
absl::Status Shown(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument: {
      const auto detail = rpc::DetailOf(status);
      return MakeError(ErrorKind::kInvalidRequest, detail.has_value() ? detail->field() : "",
                       {std::string(status.message())});
    }
    case absl::StatusCode::kFailedPrecondition:
      return MakeError(ErrorKind::kInvalidRequest, "", {std::string(status.message())});
    case absl::StatusCode::kNotFound:
      return MakeError(ErrorKind::kInvalidRequest, "", {"The file has not been read yet."});
    case absl::StatusCode::kResourceExhausted:
      return MakeError(ErrorKind::kOverloaded, "", {std::string(status.message())});
    default:
      return status;
  }
}

// One RPC with its deadline and its error.
struct Rpc {
  explicit Rpc(absl::Duration timeout) { context.set_deadline(absl::ToChronoTime(absl::Now() + timeout)); }
  absl::Status Result(const grpc::Status& status) const {
    return status.ok() ? absl::OkStatus() : rpc::FromGrpc(status, context);
  }
  grpc::ClientContext context;
};

class RetrievalSearchTool final : public SearchTool {
 public:
  RetrievalSearchTool(std::shared_ptr<grpc::Channel> channel, FileStore& files, SearchToolOptions options)
      : stub_(pb::Retrieval::NewStub(std::move(channel))), files_(files), options_(options) {}

  absl::Status EnsureStore(const ProjectId& project, const StoreId& store, const Chunking& chunking) override {
    Rpc call(options_.call_max);
    pb::CreateStoreRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    Write(chunking, *request.mutable_chunking());
    pb::Store reply;
    return call.Result(stub_->CreateStore(&call.context, request, &reply));
  }

  absl::Status DeleteStore(const ProjectId& project, const StoreId& store) override {
    Rpc call(options_.call_max);
    pb::DeleteStoreRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    pb::DeleteStoreResponse reply;
    return call.Result(stub_->DeleteStore(&call.context, request, &reply));
  }

  absl::StatusOr<StoreModel> Model(const ProjectId& project, const StoreId& store) override {
    Rpc call(options_.call_max);
    pb::GetStoreRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    pb::Store reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_->GetStore(&call.context, request, &reply)));
    return ModelOf(reply);
  }

  absl::StatusOr<StoreModel> SetModel(const ProjectId& project, const StoreId& store,
                                      const std::string& model) override {
    Rpc call(options_.call_max);
    pb::UpdateStoreRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    request.set_model(model);
    pb::Store reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_->UpdateStore(&call.context, request, &reply)));
    return ModelOf(reply);
  }

  absl::StatusOr<StoreFileState> AddFile(const VectorStoreFile& file, const FileObject& object) override {
    GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, files_.Open(object.blob.sha256));
    Rpc call(options_.call_max * kHandOverFactor);
    pb::Document reply;
    const auto writer = stub_->AddDocument(&call.context, &reply);
    pb::AddDocumentRequest message;
    pb::AddDocumentHeader& header = *message.mutable_header();
    header.set_owner(file.project.value);
    header.set_store_id(file.store_id.value);
    // A path is the uploader's affair; its last part says of what type it is.
    header.set_file_name(object.filename.substr(object.filename.rfind('/') + 1));
    header.set_document_id(file.file_id.value);
    for (const auto& [key, value] : file.attributes) (*header.mutable_attributes())[key] = ToProto(value);
    Write(file.chunking, *header.mutable_chunking());
    bool open = writer->Write(message);
    std::string piece(kPieceBytes, '\0');
    while (open) {
      const auto got = reader->Read(piece);
      if (!got.ok()) {
        call.context.TryCancel();
        (void)writer->Finish();  // cancelled; the reader's error is the cause
        return got.status();
      }
      if (*got == 0) break;
      message.set_data(piece.data(), *got);
      open = writer->Write(message);
    }
    writer->WritesDone();
    GATEWAY_RETURN_IF_ERROR(call.Result(writer->Finish()));
    return StateOf(reply);
  }

  absl::StatusOr<StoreFileState> FileState(const ProjectId& project, const StoreId& store,
                                           const FileId& file) override {
    Rpc call(options_.call_max);
    pb::GetDocumentRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    request.set_document_id(file.value);
    pb::Document reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_->GetDocument(&call.context, request, &reply)));
    return StateOf(reply);
  }

  absl::Status SetAttributes(const ProjectId& project, const StoreId& store, const FileId& file,
                             const Attributes& attributes) override {
    Rpc call(options_.call_max);
    pb::UpdateDocumentRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    request.set_document_id(file.value);
    for (const auto& [key, value] : attributes) (*request.mutable_attributes())[key] = ToProto(value);
    pb::Document reply;
    return call.Result(stub_->UpdateDocument(&call.context, request, &reply));
  }

  absl::Status DeleteFile(const ProjectId& project, const StoreId& store, const FileId& file) override {
    Rpc call(options_.call_max);
    pb::DeleteDocumentRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    request.set_document_id(file.value);
    pb::DeleteDocumentResponse reply;
    const absl::Status deleted = call.Result(stub_->DeleteDocument(&call.context, request, &reply));
    // A store gets there with its first file.
    return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
  }

  absl::StatusOr<std::string> FileText(const ProjectId& project, const StoreId& store, const FileId& file) override {
    Rpc call(options_.call_max);
    pb::GetContentRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    request.set_document_id(file.value);
    const auto reader = stub_->GetContent(&call.context, request);
    std::string text;
    pb::GetContentResponse part;
    while (reader->Read(&part)) text += part.text();
    GATEWAY_RETURN_IF_ERROR(call.Result(reader->Finish()));
    return text;
  }

  absl::StatusOr<Citation> Cite(const ProjectId& project, const StoreId& store, const FileId& file,
                                const TextSpan& span) override {
    Rpc call(options_.call_max);
    pb::CiteRequest request;
    request.set_owner(project.value);
    request.set_store_id(store.value);
    request.set_document_id(file.value);
    request.mutable_span()->set_begin(span.begin);
    request.mutable_span()->set_end(span.end);
    pb::Citation reply;
    const absl::Status status = call.Result(stub_->Cite(&call.context, request, &reply));
    if (!status.ok()) return Shown(status);
    return FromProto(reply);
  }

  absl::StatusOr<PagePicture> RenderPage(const PictureRequest& wanted) override {
    Rpc call(options_.call_max * kPictureFactor);
    pb::RenderPageRequest request;
    request.set_owner(wanted.project.value);
    request.set_store_id(wanted.store.value);
    request.set_document_id(wanted.file.value);
    request.set_page(static_cast<uint32_t>(wanted.page));
    request.set_dpi(static_cast<uint32_t>(wanted.dpi));
    if (wanted.span.has_value()) {
      request.mutable_span()->set_begin(wanted.span->begin);
      request.mutable_span()->set_end(wanted.span->end);
    }
    const auto reader = stub_->RenderPage(&call.context, request);
    PagePicture picture;
    pb::RenderPageResponse part;
    while (reader->Read(&part)) {
      if (part.has_header()) picture.page = static_cast<int>(part.header().page());
      picture.png += part.data();
    }
    const absl::Status status = call.Result(reader->Finish());
    if (!status.ok()) return Shown(status);
    return picture;
  }

  absl::StatusOr<SearchAnswer> Search(const SearchRequest& request) override {
    Rpc call(options_.call_max);
    pb::SearchRequest message;
    message.set_owner(request.project.value);
    for (const StoreId& store : request.stores) message.add_store_ids(store.value);
    for (const std::string& query : request.queries) message.add_queries(Shorten(query));
    message.set_max_results(request.max_results);
    if (request.filter.has_value()) *message.mutable_filter() = ToProto(*request.filter);
    message.mutable_ranking()->set_ranker(request.ranking.ranker);
    message.mutable_ranking()->set_score_threshold(request.ranking.score_threshold);
    if (request.ranking.embedding_weight.has_value()) {
      message.mutable_ranking()->set_embedding_weight(*request.ranking.embedding_weight);
    }
    if (request.ranking.text_weight.has_value()) {
      message.mutable_ranking()->set_text_weight(*request.ranking.text_weight);
    }
    if (request.ranking.rrf_k.has_value()) message.mutable_ranking()->set_rrf_k(*request.ranking.rrf_k);
    pb::SearchResponse reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_->Search(&call.context, message, &reply)));
    SearchAnswer answer{.times = {.elapsed_us = reply.elapsed_us(),
                                  .embed_us = reply.embed_us(),
                                  .vector_us = reply.vector_us(),
                                  .text_us = reply.text_us()}};
    for (const pb::Hit& hit : reply.hits()) {
      SearchResult result{.store_id = StoreId(hit.store_id()),
                          .file_id = FileId(hit.document_id()),
                          .file_name = hit.file_name(),
                          .score = hit.score(),
                          .parts = {.vector_score = hit.vector_score(),
                                    .vector_rank = hit.vector_rank(),
                                    .text_score = hit.text_score(),
                                    .text_rank = hit.text_rank()},
                          .passage = hit.passage(),
                          .passage_span = FromProto(hit.passage_span()),
                          .heading = hit.heading()};
      for (const auto& [key, value] : hit.attributes()) result.attributes[key] = FromProto(value);
      for (const pb::Citation& citation : hit.citations()) result.citations.push_back(FromProto(citation));
      answer.results.push_back(std::move(result));
    }
    return answer;
  }

 private:
  // The service takes queries of at most 4096 bytes; models write longer ones.
  static std::string Shorten(const std::string& query) {
    constexpr std::size_t kLongest = 4096;
    if (query.size() <= kLongest) return query;
    std::size_t end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(query[end]) & 0xC0) == 0x80) --end;
    return query.substr(0, end);
  }

  const std::unique_ptr<pb::Retrieval::Stub> stub_;
  FileStore& files_;
  const SearchToolOptions options_;
};

}  // namespace

std::unique_ptr<SearchTool> MakeRetrievalSearchTool(std::shared_ptr<grpc::Channel> channel, FileStore& files,
                                                    SearchToolOptions options) {
  return std::make_unique<RetrievalSearchTool>(std::move(channel), files, options);
}

}  // namespace carrel::gateway
