// Files, vector stores and keys.
#include <utility>

#include "gateway/openai/requests.h"
#include "gateway/openai/responses.h"
#include "gateway/ports/search_tool.h"
#include "handlers.h"
#include "search_filter.h"

namespace carrel::gateway::http {

using openai::Render;
using openai::RenderList;

Answer CreateFile(Api& api, Request& request) {
  auto field = [&](const char* name) {
    auto found = request.upload.fields.find(name);
    return found == request.upload.fields.end() ? std::string() : found->second;
  };
  if (!request.upload.file.has_value()) return MakeError(ErrorKind::kParameterMissing, "file", {});
  if (!request.upload.fields.contains("purpose")) return MakeError(ErrorKind::kParameterMissing, "purpose", {});
  GATEWAY_RETURN_IF_ERROR(Files::CheckPurpose(field("purpose")));
  GATEWAY_ASSIGN_OR_RETURN(std::optional<absl::Duration> expires_after,
                           openai::ParseFileExpiry(field("expires_after[anchor]"), field("expires_after[seconds]")));
  std::string filename = request.upload.filename.value_or("");
  GATEWAY_ASSIGN_OR_RETURN(FileObject file,
                           api.files.Create(request.project, {.filename = filename.empty() ? "upload" : filename,
                                                              .purpose = field("purpose"),
                                                              .expires_after = expires_after,
                                                              .stored = *request.upload.file}));
  return Json(Render(file, request.view));
}

Answer ListFiles(Api& api, Request& request) {
  constexpr int kFilesMax = 10'000;
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query, kFilesMax, kFilesMax));
  FileFilter filter{.purpose = request.query.Get("purpose").value_or("")};
  GATEWAY_ASSIGN_OR_RETURN(Page<FileObject> files, api.files.List(request.project, filter, page));
  return Json(RenderList(files.items, files.has_more, request.view));
}

Answer GetFile(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(FileObject file, api.files.Get(request.project, FileId(request.Id("file_id"))));
  return Json(Render(file, request.view));
}

Answer GetFileContent(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(FileObject file, api.files.Get(request.project, FileId(request.Id("file_id"))));
  GATEWAY_ASSIGN_OR_RETURN(std::unique_ptr<BlobReader> reader, api.files.Open(file));
  return Response{.status = 200, .body = FileBody{.reader = std::move(reader), .filename = file.filename}};
}

Answer DeleteFile(Api& api, Request& request) {
  GATEWAY_RETURN_IF_ERROR(api.files.Delete(request.project, FileId(request.Id("file_id"))));
  return Json(openai::RenderDeleted(request.Id("file_id"), "file"));
}

Answer CreateStore(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(NewStore wanted, openai::ParseNewStore(request.body));
  GATEWAY_ASSIGN_OR_RETURN(VectorStore store, api.stores.Create(request.project, std::move(wanted)));
  return Json(Render(store, request.view));
}

Answer ListStores(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query));
  GATEWAY_ASSIGN_OR_RETURN(Page<VectorStore> stores, api.stores.List(request.project, page));
  return Json(RenderList(stores.items, stores.has_more, request.view));
}

Answer GetStore(Api& api, Request& request) {
  const StoreId id(request.Id("vector_store_id"));
  GATEWAY_ASSIGN_OR_RETURN(VectorStore store, request.view.carrel ? api.stores.GetWithModel(request.project, id)
                                                                  : api.stores.Get(request.project, id));
  return Json(Render(store, request.view));
}

Answer UpdateStore(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(StoreChange change, openai::ParseStoreChange(request.body, request.view.carrel));
  const StoreId id(request.Id("vector_store_id"));
  GATEWAY_ASSIGN_OR_RETURN(VectorStore store, api.stores.Update(request.project, id, std::move(change)));
  if (request.view.carrel) {
    GATEWAY_ASSIGN_OR_RETURN(store, api.stores.GetWithModel(request.project, id));
  }
  return Json(Render(store, request.view));
}

Answer DeleteStore(Api& api, Request& request) {
  GATEWAY_RETURN_IF_ERROR(api.stores.Delete(request.project, StoreId(request.Id("vector_store_id"))));
  return Json(openai::RenderDeleted(request.Id("vector_store_id"), "vector_store.deleted"));
}

Answer SearchStore(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(openai::StoreSearchRequest wanted,
                           openai::ParseStoreSearch(request.body, request.view.carrel));
  SearchRequest search{.project = request.project,
                       .stores = {StoreId(request.Id("vector_store_id"))},
                       .queries = wanted.queries,
                       .max_results = wanted.max_num_results,
                       .ranking = wanted.ranking};
  if (wanted.filter.has_value()) search.filter = FilterOf(*wanted.filter);
  GATEWAY_ASSIGN_OR_RETURN(const SearchAnswer answer, api.stores.Search(search));
  return Json(openai::RenderSearchPage(wanted.queries, answer, request.view));
}

Answer AddStoreFile(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(NewStoreFile wanted, openai::ParseNewStoreFile(request.body));
  GATEWAY_ASSIGN_OR_RETURN(
      VectorStoreFile file,
      api.stores.AddFile(request.project, StoreId(request.Id("vector_store_id")), std::move(wanted)));
  return Json(Render(file, request.view));
}

namespace {

absl::StatusOr<StoreFileFilter> StoreFileFilterOf(const Query& query) {
  StoreFileFilter filter;
  std::string status = query.Get("filter").value_or("");
  if (status.empty()) return filter;
  constexpr std::pair<std::string_view, StoreFileStatus> kNames[] = {{"in_progress", StoreFileStatus::kInProgress},
                                                                     {"completed", StoreFileStatus::kCompleted},
                                                                     {"failed", StoreFileStatus::kFailed},
                                                                     {"cancelled", StoreFileStatus::kCancelled}};
  for (const auto& [name, value] : kNames) {
    if (status == name) filter.status = value;
  }
  if (filter.status.has_value()) return filter;
  return MakeError(ErrorKind::kInvalidValue, "filter", {status, "in_progress", "completed", "failed", "cancelled"});
}

Answer FilesOfStore(Api& api, Request& request, const BatchId& batch) {
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query));
  GATEWAY_ASSIGN_OR_RETURN(StoreFileFilter filter, StoreFileFilterOf(request.query));
  filter.batch_id = batch;
  GATEWAY_ASSIGN_OR_RETURN(Page<VectorStoreFile> files,
                           api.stores.ListFiles(request.project, StoreId(request.Id("vector_store_id")), filter, page));
  return Json(RenderList(files.items, files.has_more, request.view));
}

}  // namespace

Answer ListStoreFiles(Api& api, Request& request) { return FilesOfStore(api, request, BatchId()); }

Answer GetStoreFile(Api& api, Request& request) {
  const StoreId store(request.Id("vector_store_id"));
  const FileId id(request.Id("file_id"));
  GATEWAY_ASSIGN_OR_RETURN(VectorStoreFile file, request.view.carrel
                                                     ? api.stores.GetFileWithProgress(request.project, store, id)
                                                     : api.stores.GetFile(request.project, store, id));
  return Json(Render(file, request.view));
}

Answer UpdateStoreFile(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(Attributes attributes, openai::ParseAttributesChange(request.body));
  GATEWAY_ASSIGN_OR_RETURN(VectorStoreFile file,
                           api.stores.SetAttributes(request.project, StoreId(request.Id("vector_store_id")),
                                                    FileId(request.Id("file_id")), std::move(attributes)));
  return Json(Render(file, request.view));
}

Answer RemoveStoreFile(Api& api, Request& request) {
  GATEWAY_RETURN_IF_ERROR(
      api.stores.RemoveFile(request.project, StoreId(request.Id("vector_store_id")), FileId(request.Id("file_id"))));
  return Json(openai::RenderDeleted(request.Id("file_id"), "vector_store.file.deleted"));
}

Answer GetStoreFileContent(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(
      std::string text,
      api.stores.FileText(request.project, StoreId(request.Id("vector_store_id")), FileId(request.Id("file_id"))));
  return Json(openai::RenderFileText(text));
}

Answer CreateBatch(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(std::vector<NewStoreFile> files, openai::ParseNewBatch(request.body));
  GATEWAY_ASSIGN_OR_RETURN(
      FileBatch batch,
      api.stores.CreateBatch(request.project, StoreId(request.Id("vector_store_id")), std::move(files)));
  return Json(Render(batch, request.view));
}

Answer GetBatch(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(FileBatch batch, api.stores.GetBatch(request.project, StoreId(request.Id("vector_store_id")),
                                                                BatchId(request.Id("batch_id"))));
  return Json(Render(batch, request.view));
}

Answer CancelBatch(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(
      FileBatch batch,
      api.stores.CancelBatch(request.project, StoreId(request.Id("vector_store_id")), BatchId(request.Id("batch_id"))));
  return Json(Render(batch, request.view));
}

Answer ListBatchFiles(Api& api, Request& request) {
  return FilesOfStore(api, request, BatchId(request.Id("batch_id")));
}

Answer GetServer(Api& api, Request&) { return Json(openai::RenderServer(api.describe())); }

Answer CreateKey(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(IssuedKey issued, api.keys.Create(request.query.Get("name").value_or(""),
                                                             ProjectId(request.query.Get("project").value_or(""))));
  return Json(openai::RenderKey(issued.key, issued.secret));
}

Answer ListKeys(Api& api, Request&) {
  GATEWAY_ASSIGN_OR_RETURN(std::vector<ApiKey> keys, api.keys.List());
  return Json(openai::RenderKeys(keys));
}

Answer RevokeKey(Api& api, Request& request) {
  GATEWAY_RETURN_IF_ERROR(api.keys.Revoke(KeyId(request.Id("key_id"))));
  return Json(openai::RenderDeleted(request.Id("key_id"), "carrel.key.revoked"));
}

}  // namespace carrel::gateway::http
