#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "caller.h"
#include "carrel/gateway/v1/vector_stores.grpc.pb.h"
#include "gateway/messages/retrieval.h"
#include "gateway/types/status_macros.h"
#include "services.h"

namespace carrel::gateway {
namespace {

constexpr uint32_t kListDefault = 20;
constexpr uint32_t kListMax = 100;
constexpr int kFilesMax = 500;
constexpr uint32_t kExpiryDaysMax = 365;
constexpr std::size_t kNameBytesMax = 1024;
constexpr uint32_t kPageMax = 1'000'000;
constexpr uint32_t kDpiMin = 18;
constexpr uint32_t kDpiMax = 600;
constexpr std::size_t kPieceBytes = 256 * 1024;

v1::VectorStore ToProto(const VectorStore& store) {
  v1::VectorStore out;
  out.set_vector_store_id(store.id.value);
  out.set_name(store.name.value_or(""));
  out.set_created_at_ms(absl::ToUnixMillis(store.created_at));
  out.set_last_active_at_ms(absl::ToUnixMillis(store.last_active_at));
  out.set_expires_after_days(static_cast<uint32_t>(store.expires_after_days.value_or(0)));
  out.set_expired(store.expired);
  out.set_files_in_progress(static_cast<uint64_t>(store.counts.in_progress));
  out.set_files_completed(static_cast<uint64_t>(store.counts.completed));
  out.set_files_failed(static_cast<uint64_t>(store.counts.failed));
  out.set_files_cancelled(static_cast<uint64_t>(store.counts.cancelled));
  out.set_usage_bytes(store.usage_bytes);
  return out;
}

v1::VectorStoreFile::Status ToProto(StoreFileStatus status) {
  switch (status) {
    case StoreFileStatus::kInProgress:
      return v1::VectorStoreFile::IN_PROGRESS;
    case StoreFileStatus::kCompleted:
      return v1::VectorStoreFile::COMPLETED;
    case StoreFileStatus::kCancelled:
      return v1::VectorStoreFile::CANCELLED;
    case StoreFileStatus::kFailed:
      break;
  }
  return v1::VectorStoreFile::FAILED;
}

v1::VectorStoreFile ToProto(const VectorStoreFile& file) {
  v1::VectorStoreFile out;
  out.set_vector_store_id(file.store_id.value);
  out.set_file_id(file.file_id.value);
  out.set_filename(file.filename);
  out.set_status(ToProto(file.status));
  out.set_message(file.last_error.has_value() ? file.last_error->message : file.facts.message);
  out.set_usage_bytes(file.usage_bytes);
  out.set_pages(file.facts.pages);
  out.set_characters(file.facts.characters);
  out.set_passages(file.facts.passages);
  out.set_verdict(file.facts.verdict);
  out.set_created_at_ms(absl::ToUnixMillis(file.created_at));
  if (file.progress.has_value()) {
    v1::VectorStoreFileProgress& progress = *out.mutable_progress();
    progress.set_phase(file.progress->phase);
    progress.set_pages_done(file.progress->pages_done);
    progress.set_pages(file.progress->pages);
    progress.set_embedded(file.progress->embedded);
    progress.set_to_embed(file.progress->to_embed);
    progress.set_message(file.progress->message);
  }
  return out;
}

absl::StatusOr<TextSpan> SpanOf(const retrieval::v1::Span& span) {
  if (span.begin() >= span.end()) {
    return rpc::InvalidField("span", absl::StrCat("[", span.begin(), ", ", span.end(), ")"), "begin below end");
  }
  return gateway::FromProto(span);
}

absl::StatusOr<PictureRequest> FromProto(const ProjectId& project, const v1::RenderVectorStoreFilePageRequest& from) {
  if (from.page() > kPageMax) {
    return rpc::InvalidField("page", absl::StrCat(from.page()), "a page's number, from 1");
  }
  if (from.page() == 0 && !from.has_span()) return rpc::InvalidField("page", "0 without a span", "a page or a span");
  if (from.dpi() != 0 && (from.dpi() < kDpiMin || from.dpi() > kDpiMax)) {
    return rpc::InvalidField("dpi", absl::StrCat(from.dpi()), "18 to 600, or 0 for the usual");
  }
  PictureRequest out{.project = project,
                     .store = StoreId(from.vector_store_id()),
                     .file = FileId(from.file_id()),
                     .page = static_cast<int>(from.page()),
                     .dpi = static_cast<int>(from.dpi())};
  if (from.has_span()) {
    GATEWAY_ASSIGN_OR_RETURN(out.span, SpanOf(from.span()));
  }
  return out;
}

absl::StatusOr<NewStore> FromProto(const v1::CreateVectorStoreRequest& request) {
  if (request.name().size() > kNameBytesMax) {
    return rpc::InvalidField("name", absl::StrCat(request.name().size(), " bytes"), "at most 256 characters");
  }
  if (request.file_ids_size() > kFilesMax) {
    return rpc::InvalidField("file_ids", absl::StrCat(request.file_ids_size()), "at most 500");
  }
  if (request.expires_after_days() > kExpiryDaysMax) {
    return rpc::InvalidField("expires_after_days", absl::StrCat(request.expires_after_days()),
                             "1 to 365, or 0 for never");
  }
  NewStore store;
  if (!request.name().empty()) store.name = request.name();
  if (request.expires_after_days() != 0) store.expires_after_days = static_cast<int>(request.expires_after_days());
  for (const std::string& id : request.file_ids()) store.files.push_back({.file_id = FileId(id)});
  return store;
}

class VectorStoresService final : public v1::VectorStores::Service {
 public:
  explicit VectorStoresService(const FrontPorts& ports) : keys_(ports.keys), stores_(ports.stores) {}

  grpc::Status CreateVectorStore(grpc::ServerContext* context, const v1::CreateVectorStoreRequest* request,
                                 v1::VectorStore* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(NewStore wanted, FromProto(*request));
      GATEWAY_ASSIGN_OR_RETURN(const VectorStore store, stores_.Create(project, std::move(wanted)));
      *response = ToProto(store);
      return absl::OkStatus();
    });
  }

  grpc::Status GetVectorStore(grpc::ServerContext* context, const v1::GetVectorStoreRequest* request,
                              v1::VectorStore* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const VectorStore store, stores_.Get(project, StoreId(request->vector_store_id())));
      *response = ToProto(store);
      return absl::OkStatus();
    });
  }

  grpc::Status ListVectorStores(grpc::ServerContext* context, const v1::ListVectorStoresRequest* request,
                                v1::ListVectorStoresResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const PageRequest page,
                               PageOf(request->limit(), request->after(), kListDefault, kListMax));
      GATEWAY_ASSIGN_OR_RETURN(const Page<VectorStore> found, stores_.List(project, page));
      for (const VectorStore& store : found.items) *response->add_vector_stores() = ToProto(store);
      response->set_has_more(found.has_more);
      return absl::OkStatus();
    });
  }

  grpc::Status DeleteVectorStore(grpc::ServerContext* context, const v1::DeleteVectorStoreRequest* request,
                                 v1::DeleteVectorStoreResponse*) override {
    return Serve(keys_, *context, [&](const ProjectId& project) {
      return stores_.Delete(project, StoreId(request->vector_store_id()));
    });
  }

  grpc::Status AddVectorStoreFile(grpc::ServerContext* context, const v1::AddVectorStoreFileRequest* request,
                                  v1::VectorStoreFile* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const VectorStoreFile file, stores_.AddFile(project, StoreId(request->vector_store_id()),
                                                                           {.file_id = FileId(request->file_id())}));
      *response = ToProto(file);
      return absl::OkStatus();
    });
  }

  grpc::Status GetVectorStoreFile(grpc::ServerContext* context, const v1::GetVectorStoreFileRequest* request,
                                  v1::VectorStoreFile* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(
          const VectorStoreFile file,
          stores_.GetFileWithProgress(project, StoreId(request->vector_store_id()), FileId(request->file_id())));
      *response = ToProto(file);
      return absl::OkStatus();
    });
  }

  grpc::Status ListVectorStoreFiles(grpc::ServerContext* context, const v1::ListVectorStoreFilesRequest* request,
                                    v1::ListVectorStoreFilesResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const PageRequest page,
                               PageOf(request->limit(), request->after(), kListDefault, kListMax));
      GATEWAY_ASSIGN_OR_RETURN(const Page<VectorStoreFile> found,
                               stores_.ListFiles(project, StoreId(request->vector_store_id()), {}, page));
      for (const VectorStoreFile& file : found.items) *response->add_files() = ToProto(file);
      response->set_has_more(found.has_more);
      return absl::OkStatus();
    });
  }

  grpc::Status RemoveVectorStoreFile(grpc::ServerContext* context, const v1::RemoveVectorStoreFileRequest* request,
                                     v1::RemoveVectorStoreFileResponse*) override {
    return Serve(keys_, *context, [&](const ProjectId& project) {
      return stores_.RemoveFile(project, StoreId(request->vector_store_id()), FileId(request->file_id()));
    });
  }

  grpc::Status CiteVectorStoreFile(grpc::ServerContext* context, const v1::CiteVectorStoreFileRequest* request,
                                   retrieval::v1::Citation* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const TextSpan span, SpanOf(request->span()));
      GATEWAY_ASSIGN_OR_RETURN(const Citation citation, stores_.Cite(project, StoreId(request->vector_store_id()),
                                                                     FileId(request->file_id()), span));
      *response = ToProto(citation);
      return absl::OkStatus();
    });
  }

  grpc::Status RenderVectorStoreFilePage(grpc::ServerContext* context,
                                         const v1::RenderVectorStoreFilePageRequest* request,
                                         grpc::ServerWriter<v1::RenderVectorStoreFilePageResponse>* writer) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const PictureRequest wanted, FromProto(project, *request));
      GATEWAY_ASSIGN_OR_RETURN(const PagePicture picture, stores_.RenderPage(wanted));
      v1::RenderVectorStoreFilePageResponse part;
      part.set_page(static_cast<uint32_t>(picture.page));
      for (std::size_t at = 0; at < picture.png.size(); at += kPieceBytes) {
        part.set_data(picture.png.substr(at, kPieceBytes));
        if (!writer->Write(part)) return absl::CancelledError("the caller has gone");
        part.clear_page();
      }
      return absl::OkStatus();
    });
  }

 private:
  Keys& keys_;
  Stores& stores_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeVectorStoresService(const FrontPorts& ports) {
  return std::make_unique<VectorStoresService>(ports);
}

}  // namespace carrel::gateway
