#include "gateway/core/stores.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

// What OpenAI takes, and what carrel-retrieval reads beyond it (document_types_test holds the two together). OpenAI's
// .doc is taken and then fails, with the advice to save it as .docx.
constexpr std::string_view kSearchable[] = {
    ".bash", ".bat",   ".c",    ".cc",       ".cfg",   ".cjs",   ".cmake",  ".conf",  ".cpp",  ".cs",
    ".css",  ".csv",   ".cxx",  ".diff",     ".doc",   ".docx",  ".go",     ".h",     ".hh",   ".hpp",
    ".htm",  ".html",  ".hxx",  ".ini",      ".java",  ".js",    ".json",   ".jsonl", ".jsx",  ".kt",
    ".log",  ".lua",   ".m",    ".markdown", ".md",    ".mjs",   ".ndjson", ".patch", ".pdf",  ".php",
    ".pl",   ".pm",    ".pptx", ".proto",    ".ps1",   ".py",    ".pyi",    ".r",     ".rb",   ".rs",
    ".rst",  ".scala", ".scss", ".sh",       ".sql",   ".swift", ".tab",    ".tex",   ".text", ".toml",
    ".ts",   ".tsv",   ".tsx",  ".txt",      ".xhtml", ".xlsx",  ".xml",    ".yaml",  ".yml"};

// Uses closer together than this are one use: a search must not cost a write each time.
constexpr absl::Duration kTouchInterval = absl::Minutes(1);

std::string ExtensionOf(std::string_view filename) {
  size_t slash = filename.rfind('/');
  if (slash != std::string_view::npos) filename.remove_prefix(slash + 1);
  size_t dot = filename.rfind('.');
  return dot == std::string_view::npos ? "" : absl::AsciiStrToLower(std::string(filename.substr(dot)));
}

absl::Status CheckSearchable(const FileObject& file, const std::string& param) {
  if (IsSearchableName(file.filename)) return absl::OkStatus();
  return MakeError(ErrorKind::kUnsupportedFile, param, {ExtensionOf(file.filename)});
}

}  // namespace

bool IsSearchableName(std::string_view filename) {
  std::string extension = ExtensionOf(filename);
  return extension.empty() ||
         std::find(std::begin(kSearchable), std::end(kSearchable), extension) != std::end(kSearchable);
}

absl::StatusOr<VectorStore> Stores::CreateIn(Transaction& t, const ProjectId& project, const NewStore& request) {
  absl::Time now = backing_.clock.Now();
  VectorStore store{.id = backing_.ids.NewStore(),
                    .project = project,
                    .created_at = now,
                    .last_active_at = now,
                    .name = request.name,
                    .description = request.description,
                    .expires_after_days = request.expires_after_days,
                    .metadata = request.metadata,
                    .chunking = request.chunking.value_or(Chunking{})};
  GATEWAY_RETURN_IF_ERROR(t.PutStore(store));
  GATEWAY_RETURN_IF_ERROR(AddFilesIn(t, store, request.files, BatchId(), "file_ids"));
  return t.GetStore(project, store.id);
}

absl::Status Stores::AddFilesIn(Transaction& t, const VectorStore& store, const std::vector<NewStoreFile>& files,
                                const BatchId& batch, const std::string& param) {
  if (store.expired) return MakeError(ErrorKind::kStoreExpired, "", {store.id.value});
  for (const NewStoreFile& file : files) {
    GATEWAY_ASSIGN_OR_RETURN(FileObject object, t.GetFile(store.project, file.file_id));
    GATEWAY_RETURN_IF_ERROR(CheckSearchable(object, param));
    absl::StatusOr<VectorStoreFile> known = t.GetStoreFile(store.project, store.id, file.file_id);
    if (known.ok() && known->status != StoreFileStatus::kFailed && known->status != StoreFileStatus::kCancelled) {
      continue;
    }
    if (!known.ok() && !ErrorOf(known.status()).has_value()) return known.status();
    GATEWAY_RETURN_IF_ERROR(t.PutStoreFile({.store_id = store.id,
                                            .file_id = file.file_id,
                                            .project = store.project,
                                            .created_at = backing_.clock.Now(),
                                            .chunking = file.chunking.value_or(store.chunking),
                                            .attributes = file.attributes,
                                            .filename = object.filename,
                                            .batch_id = batch}));
  }
  return absl::OkStatus();
}

absl::StatusOr<VectorStore> Stores::Create(const ProjectId& project, NewStore request) {
  VectorStore store;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(store, CreateIn(t, project, request));
    return absl::OkStatus();
  }));
  Kick();
  return store;
}

absl::StatusOr<VectorStore> Stores::Get(const ProjectId& project, const StoreId& id) {
  VectorStore store;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(store, s.GetStore(project, id));
    return absl::OkStatus();
  }));
  return store;
}

absl::StatusOr<VectorStore> Stores::GetWithModel(const ProjectId& project, const StoreId& id) {
  GATEWAY_ASSIGN_OR_RETURN(VectorStore store, Get(project, id));
  absl::StatusOr<StoreModel> model = backing_.search.Model(project, id);
  // A store gets there with its first file, and is gone from there when it has expired.
  if (absl::IsNotFound(model.status())) model = StoreModel{};
  GATEWAY_ASSIGN_OR_RETURN(store.model, std::move(model));
  return store;
}

absl::Status Stores::SetModel(const VectorStore& store, const std::string& model) {
  if (store.expired) return MakeError(ErrorKind::kStoreExpired, "", {store.id.value});
  GATEWAY_RETURN_IF_ERROR(backing_.search.EnsureStore(store.project, store.id, store.chunking));
  const absl::Status changed = backing_.search.SetModel(store.project, store.id, model).status();
  if (!absl::IsInvalidArgument(changed)) return changed;
  return MakeError(ErrorKind::kInvalidRequest, "x_carrel.model", {std::string(changed.message())});
}

absl::StatusOr<Page<VectorStore>> Stores::List(const ProjectId& project, const PageRequest& page) {
  Page<VectorStore> stores;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(stores, s.ListStores(project, page));
    return absl::OkStatus();
  }));
  return stores;
}

absl::StatusOr<VectorStore> Stores::Update(const ProjectId& project, const StoreId& id, StoreChange change) {
  VectorStore store;
  if (change.model.has_value()) {
    GATEWAY_ASSIGN_OR_RETURN(store, Get(project, id));
    GATEWAY_RETURN_IF_ERROR(SetModel(store, *change.model));
  }
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(store, t.GetStore(project, id));
    if (change.name.has_value()) store.name = *change.name;
    if (change.description.has_value()) store.description = *change.description;
    if (change.expires_after_days.has_value()) store.expires_after_days = *change.expires_after_days;
    if (change.metadata.has_value()) store.metadata = *change.metadata;
    store.last_active_at = backing_.clock.Now();
    return t.PutStore(store);
  }));
  return store;
}

absl::Status Stores::Delete(const ProjectId& project, const StoreId& id) {
  GATEWAY_RETURN_IF_ERROR(Get(project, id).status());
  // Passages and vectors first: were they to fail after the store is gone, nothing would say that they are still there.
  GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteStore(project, id));
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) { return t.DeleteStore(project, id); }));
  // A file that was being handed over may have brought it back before the record was gone.
  return backing_.search.DeleteStore(project, id);
}

absl::StatusOr<VectorStoreFile> Stores::AddFile(const ProjectId& project, const StoreId& store, NewStoreFile file) {
  VectorStoreFile added;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(VectorStore found, t.GetStore(project, store));
    GATEWAY_RETURN_IF_ERROR(AddFilesIn(t, found, {file}, BatchId(), "file_id"));
    GATEWAY_ASSIGN_OR_RETURN(added, t.GetStoreFile(project, store, file.file_id));
    return absl::OkStatus();
  }));
  Kick();
  return added;
}

absl::StatusOr<VectorStoreFile> Stores::GetFile(const ProjectId& project, const StoreId& store, const FileId& file) {
  VectorStoreFile found;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(s.GetStore(project, store).status());
    GATEWAY_ASSIGN_OR_RETURN(found, s.GetStoreFile(project, store, file));
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<VectorStoreFile> Stores::GetFileWithProgress(const ProjectId& project, const StoreId& store,
                                                            const FileId& file) {
  GATEWAY_ASSIGN_OR_RETURN(VectorStoreFile found, GetFile(project, store, file));
  if (found.status != StoreFileStatus::kInProgress) return found;
  const absl::StatusOr<StoreFileState> state = backing_.search.FileState(project, store, file);
  // Not handed over yet, or nobody to ask: then it waits, as far as anybody knows.
  found.progress = state.ok() ? state->progress : FileProgress{.phase = "queued"};
  return found;
}

absl::StatusOr<Page<VectorStoreFile>> Stores::ListFiles(const ProjectId& project, const StoreId& store,
                                                        const StoreFileFilter& filter, const PageRequest& page) {
  Page<VectorStoreFile> files;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(s.GetStore(project, store).status());
    if (!filter.batch_id.empty()) GATEWAY_RETURN_IF_ERROR(s.GetBatch(project, store, filter.batch_id).status());
    GATEWAY_ASSIGN_OR_RETURN(files, s.ListStoreFiles(project, store, filter, page));
    return absl::OkStatus();
  }));
  return files;
}

absl::StatusOr<VectorStoreFile> Stores::SetAttributes(const ProjectId& project, const StoreId& store,
                                                      const FileId& file, Attributes attributes) {
  GATEWAY_ASSIGN_OR_RETURN(VectorStoreFile found, GetFile(project, store, file));
  GATEWAY_ASSIGN_OR_RETURN(const VectorStore in, Get(project, store));
  if (found.status == StoreFileStatus::kCompleted && !in.expired) {
    GATEWAY_RETURN_IF_ERROR(backing_.search.SetAttributes(project, store, file, attributes));
  }
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(found, t.GetStoreFile(project, store, file));
    found.attributes = attributes;
    return t.PutStoreFile(found);
  }));
  return found;
}

absl::Status Stores::RemoveFile(const ProjectId& project, const StoreId& store, const FileId& file) {
  GATEWAY_ASSIGN_OR_RETURN(const VectorStoreFile found, GetFile(project, store, file));
  GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteFile(project, store, file));
  GATEWAY_RETURN_IF_ERROR(
      backing_.repository.Write([&](Transaction& t) { return t.DeleteStoreFile(project, store, file); }));
  if (found.status != StoreFileStatus::kInProgress) return absl::OkStatus();
  // It may have been handed over before the record was gone.
  return backing_.search.DeleteFile(project, store, file);
}

absl::StatusOr<std::string> Stores::FileText(const ProjectId& project, const StoreId& store, const FileId& file) {
  GATEWAY_RETURN_IF_ERROR(GetFile(project, store, file).status());
  GATEWAY_ASSIGN_OR_RETURN(const VectorStore in, Get(project, store));
  if (in.expired) return MakeError(ErrorKind::kStoreExpired, "", {store.value});
  return backing_.search.FileText(project, store, file);
}

absl::StatusOr<Citation> Stores::Cite(const ProjectId& project, const StoreId& store, const FileId& file,
                                      const TextSpan& span) {
  GATEWAY_RETURN_IF_ERROR(GetFile(project, store, file).status());
  return backing_.search.Cite(project, store, file, span);
}

absl::StatusOr<PagePicture> Stores::RenderPage(const PictureRequest& request) {
  GATEWAY_RETURN_IF_ERROR(GetFile(request.project, request.store, request.file).status());
  return backing_.search.RenderPage(request);
}

absl::StatusOr<FileBatch> Stores::CreateBatch(const ProjectId& project, const StoreId& store,
                                              std::vector<NewStoreFile> files) {
  FileBatch batch{
      .id = backing_.ids.NewBatch(), .store_id = store, .project = project, .created_at = backing_.clock.Now()};
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(VectorStore found, t.GetStore(project, store));
    GATEWAY_RETURN_IF_ERROR(t.PutBatch(batch));
    GATEWAY_RETURN_IF_ERROR(AddFilesIn(t, found, files, batch.id, "file_ids"));
    GATEWAY_ASSIGN_OR_RETURN(batch, t.GetBatch(project, store, batch.id));
    return absl::OkStatus();
  }));
  Kick();
  return batch;
}

absl::StatusOr<FileBatch> Stores::GetBatch(const ProjectId& project, const StoreId& store, const BatchId& id) {
  FileBatch batch;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(s.GetStore(project, store).status());
    GATEWAY_ASSIGN_OR_RETURN(batch, s.GetBatch(project, store, id));
    return absl::OkStatus();
  }));
  return batch;
}

absl::StatusOr<FileBatch> Stores::CancelBatch(const ProjectId& project, const StoreId& store, const BatchId& id) {
  FileBatch batch;
  std::vector<VectorStoreFile> cancelled;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(t.GetStore(project, store).status());
    GATEWAY_ASSIGN_OR_RETURN(batch, t.GetBatch(project, store, id));
    batch.cancelled = true;
    GATEWAY_RETURN_IF_ERROR(t.PutBatch(batch));
    GATEWAY_ASSIGN_OR_RETURN(std::vector<VectorStoreFile> pending, t.AllPendingStoreFiles());
    for (VectorStoreFile& file : pending) {
      if (file.batch_id != id) continue;
      file.status = StoreFileStatus::kCancelled;
      GATEWAY_RETURN_IF_ERROR(t.PutStoreFile(file));
      cancelled.push_back(file);
    }
    GATEWAY_ASSIGN_OR_RETURN(batch, t.GetBatch(project, store, id));
    return absl::OkStatus();
  }));
  for (const VectorStoreFile& file : cancelled) {
    GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteFile(project, store, file.file_id));
  }
  return batch;
}

absl::StatusOr<SearchAnswer> Stores::Search(const SearchRequest& request) {
  GATEWAY_ASSIGN_OR_RETURN(VectorStore store, Get(request.project, request.stores.front()));
  if (store.expired) return MakeError(ErrorKind::kStoreExpired, "", {store.id.value});
  GATEWAY_RETURN_IF_ERROR(Touch(request.project, store.id));
  if (store.counts.completed == 0) return SearchAnswer();
  return backing_.search.Search(request);
}

absl::Status Stores::Touch(const ProjectId& project, const StoreId& id) {
  GATEWAY_ASSIGN_OR_RETURN(VectorStore store, Get(project, id));
  if (store.expired || backing_.clock.Now() - store.last_active_at < kTouchInterval) return absl::OkStatus();
  return backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(VectorStore now, t.GetStore(project, id));
    if (now.expired) return absl::OkStatus();
    now.last_active_at = backing_.clock.Now();
    return t.PutStore(now);
  });
}

absl::Status Stores::ExpireDue() {
  std::vector<VectorStore> due;
  // Marked first: a store that a search comes upon now must not lose its texts after it has been used.
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(due, t.StoresToExpire(backing_.clock.Now()));
    for (VectorStore& store : due) {
      if (store.expired) continue;
      store.expired = true;
      GATEWAY_RETURN_IF_ERROR(t.PutStore(store));
    }
    return absl::OkStatus();
  }));
  for (const VectorStore& store : due) {
    GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteStore(store.project, store.id));
    GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
      absl::StatusOr<VectorStore> now = t.GetStore(store.project, store.id);
      if (ErrorOf(now.status()).has_value()) return absl::OkStatus();  // deleted meanwhile
      GATEWAY_RETURN_IF_ERROR(now.status());
      now->purged = true;
      return t.PutStore(*now);
    }));
  }
  return absl::OkStatus();
}

}  // namespace carrel::gateway
