#include "retrieval/service/retrieval_service.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "convert.h"
#include "page_pictures.h"
#include "retrieval/annotate.h"
#include "retrieval/vector_index.h"
#include "rpc/status.h"

namespace carrel::retrieval {
namespace {

constexpr size_t kDataBytesMax = 1u << 20;
constexpr size_t kAnnotateBytesMax = 1u << 20;
constexpr int kAnnotateHitsMax = 200;
constexpr int kEmbedTextsMax = 256;
constexpr size_t kEmbedBytesMax = 32u << 10;
constexpr absl::Duration kQueueRetry = absl::Seconds(5);

class RetrievalService final : public v1::Retrieval::Service {
 public:
  RetrievalService(ServiceOptions options, Library& library, std::vector<Embedder*> embedders,
                   const sandbox::JailMaker* jails)
      : options_(std::move(options)),
        library_(library),
        embedders_(std::move(embedders)),
        jails_(jails),
        pictures_(library, options_.painter, options_.pictures_max) {}

  grpc::Status CreateStore(grpc::ServerContext* context, const v1::CreateStoreRequest* request,
                           v1::Store* reply) override {
    absl::StatusOr<NewStore> store = NewStoreFrom(*request);
    if (!store.ok()) return rpc::ToGrpc(store.status(), *context);
    if (!store->model.empty() && FindEmbedder(embedders_, store->model) == nullptr) {
      return rpc::ToGrpc(rpc::InvalidField("model", store->model, ModelNames()), *context);
    }
    return Reply(library_.CreateStore(*store), *reply, *context);
  }

  grpc::Status GetStore(grpc::ServerContext* context, const v1::GetStoreRequest* request, v1::Store* reply) override {
    return Reply(library_.GetStore(request->owner(), request->store_id()), *reply, *context);
  }

  grpc::Status ListStores(grpc::ServerContext* context, const v1::ListStoresRequest* request,
                          v1::ListStoresResponse* reply) override {
    const absl::StatusOr<std::vector<StoreInfo>> stores = library_.ListStores(request->owner());
    if (!stores.ok()) return rpc::ToGrpc(stores.status(), *context);
    for (const StoreInfo& store : *stores) ToProto(store, *reply->add_stores());
    return grpc::Status::OK;
  }

  grpc::Status UpdateStore(grpc::ServerContext* context, const v1::UpdateStoreRequest* request,
                           v1::Store* reply) override {
    const absl::StatusOr<StoreChange> change = StoreChangeFrom(*request);
    if (!change.ok()) return rpc::ToGrpc(change.status(), *context);
    if (change->model && FindEmbedder(embedders_, *change->model) == nullptr) {
      return rpc::ToGrpc(rpc::InvalidField("model", *change->model, ModelNames()), *context);
    }
    return Reply(library_.UpdateStore(request->owner(), request->store_id(), *change), *reply, *context);
  }

  grpc::Status DeleteStore(grpc::ServerContext* context, const v1::DeleteStoreRequest* request,
                           v1::DeleteStoreResponse* reply) override {
    const absl::StatusOr<bool> existed = library_.DeleteStore(request->owner(), request->store_id());
    if (!existed.ok()) return rpc::ToGrpc(existed.status(), *context);
    reply->set_existed(*existed);
    return grpc::Status::OK;
  }

  grpc::Status AddDocument(grpc::ServerContext* context, grpc::ServerReader<v1::AddDocumentRequest>* reader,
                           v1::Document* reply) override {
    return rpc::ToGrpc(TakeDocument(*context, *reader, *reply), *context);
  }

  grpc::Status GetDocument(grpc::ServerContext* context, const v1::GetDocumentRequest* request,
                           v1::Document* reply) override {
    return Reply(library_.GetDocument(NameOf(*request)), *reply, *context);
  }

  grpc::Status ListDocuments(grpc::ServerContext* context, const v1::ListDocumentsRequest* request,
                             v1::ListDocumentsResponse* reply) override {
    const absl::StatusOr<DocumentList> list = DocumentListFrom(*request);
    if (!list.ok()) return rpc::ToGrpc(list.status(), *context);
    const absl::StatusOr<DocumentPage> page = library_.ListDocuments(*list);
    if (!page.ok()) return rpc::ToGrpc(page.status(), *context);
    for (const DocumentInfo& document : page->documents) ToProto(document, *reply->add_documents());
    reply->set_has_more(page->has_more);
    return grpc::Status::OK;
  }

  grpc::Status UpdateDocument(grpc::ServerContext* context, const v1::UpdateDocumentRequest* request,
                              v1::Document* reply) override {
    const absl::StatusOr<Attributes> attributes = AttributesFrom(request->attributes());
    if (!attributes.ok()) return rpc::ToGrpc(attributes.status(), *context);
    return Reply(library_.UpdateDocument(NameOf(*request), *attributes), *reply, *context);
  }

  grpc::Status DeleteDocument(grpc::ServerContext* context, const v1::DeleteDocumentRequest* request,
                              v1::DeleteDocumentResponse* reply) override {
    const absl::StatusOr<bool> existed = library_.DeleteDocument(NameOf(*request));
    if (!existed.ok()) return rpc::ToGrpc(existed.status(), *context);
    reply->set_existed(*existed);
    return grpc::Status::OK;
  }

  grpc::Status GetContent(grpc::ServerContext* context, const v1::GetContentRequest* request,
                          grpc::ServerWriter<v1::GetContentResponse>* writer) override {
    std::optional<Span> span;
    if (request->has_span()) {
      constexpr uint64_t kMax = UINT32_MAX;
      if (request->span().begin() > request->span().end() || request->span().end() > kMax) {
        return rpc::ToGrpc(rpc::InvalidField("span", absl::StrCat(request->span().begin(), "-", request->span().end()),
                                             "begin <= end <= characters of the document"),
                           *context);
      }
      span = Span{static_cast<uint32_t>(request->span().begin()), static_cast<uint32_t>(request->span().end())};
    }
    const absl::Status status =
        library_.ReadContent(NameOf(*request), span, [&](uint32_t begin, std::string_view utf8) {
          v1::GetContentResponse piece;
          piece.set_begin(begin);
          piece.set_text(utf8.data(), utf8.size());
          return writer->Write(piece);
        });
    if (absl::IsOutOfRange(status)) {
      return rpc::ToGrpc(rpc::InvalidField("span", absl::StrCat(span->begin, "-", span->end), status.message().data()),
                         *context);
    }
    return rpc::ToGrpc(status, *context);
  }

  grpc::Status Cite(grpc::ServerContext* context, const v1::CiteRequest* request, v1::Citation* reply) override {
    const absl::StatusOr<Span> span = CitedSpanFrom(request->span());
    if (!span.ok()) return rpc::ToGrpc(span.status(), *context);
    const absl::StatusOr<Citation> citation = library_.Cite(NameOf(*request), *span);
    if (absl::IsOutOfRange(citation.status())) {
      return rpc::ToGrpc(
          rpc::InvalidField("span", absl::StrCat(span->begin, ":", span->end),
                            absl::StrCat("a part of the text: ", std::string(citation.status().message()))),
          *context);
    }
    return Reply(citation, *reply, *context);
  }

  grpc::Status RenderPage(grpc::ServerContext* context, const v1::RenderPageRequest* request,
                          grpc::ServerWriter<v1::RenderPageResponse>* writer) override {
    return rpc::ToGrpc(pictures_.Render(
                           *request, [context] { return context->IsCancelled(); },
                           [writer](const v1::RenderPageResponse& part) { return writer->Write(part); }),
                       *context);
  }

  grpc::Status Search(grpc::ServerContext* context, const v1::SearchRequest* request,
                      v1::SearchResponse* reply) override {
    const absl::StatusOr<SearchQuery> query = SearchQueryFrom(*request);
    if (!query.ok()) return rpc::ToGrpc(query.status(), *context);
    const absl::StatusOr<SearchAnswer> answer = library_.Search(*query);
    if (!answer.ok()) return rpc::ToGrpc(answer.status(), *context);
    for (const Hit& hit : answer->hits) ToProto(hit, *reply->add_hits());
    reply->set_elapsed_us(answer->elapsed_us);
    reply->set_embed_us(answer->embed_us);
    reply->set_vector_us(answer->vector_us);
    reply->set_text_us(answer->text_us);
    return grpc::Status::OK;
  }

  grpc::Status Annotate(grpc::ServerContext* context, const v1::AnnotateRequest* request,
                        v1::AnnotateResponse* reply) override {
    if (request->text().size() > kAnnotateBytesMax) {
      return rpc::ToGrpc(rpc::InvalidField("text", absl::StrCat(request->text().size(), " bytes"), "at most 1 MiB"),
                         *context);
    }
    if (request->hits_size() > kAnnotateHitsMax) {
      return rpc::ToGrpc(rpc::InvalidField("hits", absl::StrCat(request->hits_size()), "at most 200"), *context);
    }
    for (const Marker& marker : FindMarkers(request->text(), static_cast<uint32_t>(request->hits_size()))) {
      v1::Annotation& out = *reply->add_annotations();
      out.mutable_marker_span()->set_begin(marker.span.begin);
      out.mutable_marker_span()->set_end(marker.span.end);
      out.set_marker(marker.text);
      if (!marker.hit) continue;
      const v1::Hit& hit = request->hits(static_cast<int>(*marker.hit));
      out.set_hit(*marker.hit);
      out.set_document_id(hit.document_id());
      if (hit.citations_size() > 0) *out.mutable_citation() = hit.citations(0);
    }
    return grpc::Status::OK;
  }

  grpc::Status Embed(grpc::ServerContext* context, const v1::EmbedRequest* request, v1::EmbedResponse* reply) override {
    Embedder* const embedder =
        request->model().empty() ? embedders_.front() : FindEmbedder(embedders_, request->model());
    if (embedder == nullptr) {
      return rpc::ToGrpc(rpc::InvalidField("model", request->model(), ModelNames()), *context);
    }
    if (request->texts_size() < 1 || request->texts_size() > kEmbedTextsMax) {
      return rpc::ToGrpc(rpc::InvalidField("texts", absl::StrCat(request->texts_size()), "1 to 256 texts"), *context);
    }
    std::vector<std::string_view> texts;
    for (const std::string& text : request->texts()) {
      if (text.size() > kEmbedBytesMax) {
        return rpc::ToGrpc(rpc::InvalidField(absl::StrCat("texts[", texts.size(), "]"),
                                             absl::StrCat(text.size(), " bytes"), "at most 32 KiB"),
                           *context);
      }
      texts.emplace_back(text);
    }
    const absl::StatusOr<std::vector<Embedding>> vectors =
        embedder->Embed(texts, request->as_query() ? TextRole::kQuery : TextRole::kPassage);
    if (!vectors.ok()) return rpc::ToGrpc(vectors.status(), *context);
    reply->set_model(embedder->name());
    for (const Embedding& vector : *vectors) {
      v1::Vector& out = *reply->add_vectors();
      out.mutable_values()->Add(vector.values.begin(), vector.values.end());
      out.set_tokens(vector.tokens);
      out.set_truncated(vector.truncated);
    }
    return grpc::Status::OK;
  }

  grpc::Status GetCapabilities(grpc::ServerContext*, const v1::GetCapabilitiesRequest*,
                               v1::Capabilities* reply) override {
    reply->set_version(options_.version);
    for (const Embedder* embedder : embedders_) {
      v1::Model& model = *reply->add_models();
      model.set_name(embedder->name());
      model.set_dimensions(embedder->dimensions());
      model.set_window_tokens(embedder->window_tokens());
      model.set_licence(embedder->licence());
      model.set_alias(embedder->alias());
    }
    reply->set_default_model(embedders_.front()->name());
    reply->set_vector_instructions(std::string(VectorInstructions()));
    for (const std::string& extension : ReadableExtensions()) reply->add_extensions(extension);
    reply->set_recognition(options_.recognition);
    reply->set_document_bytes_max(options_.reading.document_bytes_max);
    v1::ReadingLimits& reading = *reply->mutable_reading_limits();
    reading.set_pages_max(options_.reading.pages_max);
    reading.set_cpu_seconds_max(options_.reading.cpu_seconds_max);
    reading.set_memory_bytes_max(options_.reading.memory_bytes_max);
    reading.set_wall_ms_max(static_cast<uint64_t>(absl::ToInt64Milliseconds(options_.reading.wall_max)));
    if (jails_ != nullptr) {
      const sandbox::JailReport report = jails_->report();
      reply->set_isolation(report.tier);
      for (const sandbox::LayerState& layer : report.layers) {
        common::v1::Layer& out = *reply->add_layers();
        out.set_name(layer.name);
        out.set_active(layer.active);
        out.set_detail(layer.detail);
        out.set_mend(layer.mend);
      }
    }
    return grpc::Status::OK;
  }

 private:
  template <typename Value, typename Message>
  static grpc::Status Reply(const absl::StatusOr<Value>& value, Message& reply, grpc::ServerContext& context) {
    if (!value.ok()) return rpc::ToGrpc(value.status(), context);
    ToProto(*value, reply);
    return grpc::Status::OK;
  }

  static DocumentName NameOf(const auto& request) {
    return {.owner = request.owner(), .store_id = request.store_id(), .document_id = request.document_id()};
  }

  std::string ModelNames() const {
    std::string names;
    for (const Embedder* embedder : embedders_) absl::StrAppend(&names, names.empty() ? "" : " or ", embedder->name());
    return names;
  }

  absl::Status TakeDocument(grpc::ServerContext& context, grpc::ServerReader<v1::AddDocumentRequest>& reader,
                            v1::Document& reply) {
    v1::AddDocumentRequest part;
    if (!reader.Read(&part) || !part.has_header()) {
      return rpc::InvalidField("header", "", "the first message to be the header");
    }
    const v1::AddDocumentHeader header = part.header();
    absl::StatusOr<NewDocument> document = NewDocumentFrom(header);
    if (!document.ok()) return document.status();
    // Before the bytes travel: whether there is such a store.
    if (absl::Status status = library_.GetStore(document->owner, document->store_id).status(); !status.ok())
      return status;
    absl::StatusOr<std::unique_ptr<Upload>> upload = library_.NewUpload();
    if (!upload.ok()) return upload.status();
    while (reader.Read(&part)) {
      if (part.has_header()) return rpc::InvalidField("header", "", "one header, then data");
      if (part.data().size() > kDataBytesMax) {
        return rpc::InvalidField("data", absl::StrCat(part.data().size(), " bytes"), "at most 1 MiB a message");
      }
      if ((*upload)->size_bytes() + part.data().size() > options_.reading.document_bytes_max) {
        return rpc::InvalidField("data", "more",
                                 absl::StrCat("at most ", options_.reading.document_bytes_max, " bytes in all"));
      }
      if (absl::Status status = (*upload)->Write(part.data()); !status.ok()) return status;
    }
    // A stream that was cut off ends in the same way as one that is complete.
    if (context.IsCancelled()) return absl::CancelledError("the client went away");
    absl::StatusOr<DocumentInfo> added = library_.AddDocument(*document, *std::move(upload));
    if (absl::IsResourceExhausted(added.status())) return rpc::RetryAfter(added.status(), kQueueRetry);
    if (!added.ok()) return added.status();
    if (header.wait() && added->status == DocumentStatus::kInProgress) {
      // A little before the caller's deadline, so that the answer still gets there.
      const absl::Time deadline = absl::FromChrono(context.deadline()) - absl::Milliseconds(100);
      added = library_.WaitForDocument({document->owner, document->store_id, added->id}, deadline,
                                       [&] { return context.IsCancelled(); });
      if (!added.ok()) return added.status();
    }
    ToProto(*added, reply);
    return absl::OkStatus();
  }

  const ServiceOptions options_;
  Library& library_;
  const std::vector<Embedder*> embedders_;
  const sandbox::JailMaker* const jails_;
  PagePictures pictures_;
};

}  // namespace

std::unique_ptr<v1::Retrieval::Service> MakeRetrievalService(ServiceOptions options, Library& library,
                                                             std::vector<Embedder*> embedders,
                                                             const sandbox::JailMaker* jails) {
  return std::make_unique<RetrievalService>(std::move(options), library, std::move(embedders), jails);
}

}  // namespace carrel::retrieval
