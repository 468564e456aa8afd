#include "transaction.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"
#include "record.h"

namespace carrel::gateway {
namespace {

std::string Conditions(const std::vector<std::pair<std::string, std::string>>& columns, bool status) {
  std::string sql = " WHERE 1";
  for (const auto& [column, value] : columns) absl::StrAppend(&sql, " AND ", column, " = ?");
  if (status) absl::StrAppend(&sql, " AND status = ?");
  return sql;
}

}  // namespace

template <typename T>
absl::StatusOr<T> SqliteTransaction::GetOne(const Scope& scope, const char* noun, const std::string& id) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement get, db_.Prepare(absl::StrCat("SELECT body FROM ", scope.table,
                                                                   Conditions(scope.columns, false), " AND id = ?")));
  for (const auto& [column, value] : scope.columns) get.Bind(value);
  get.Bind(id);
  GATEWAY_ASSIGN_OR_RETURN(bool found, get.Step());
  if (!found) return MissingError(noun, id);
  return Decode<T>(get.Text(0));
}

template <typename T>
absl::StatusOr<std::vector<T>> SqliteTransaction::GetAll(Statement statement) const {
  std::vector<T> all;
  while (true) {
    GATEWAY_ASSIGN_OR_RETURN(bool row, statement.Step());
    if (!row) return all;
    GATEWAY_ASSIGN_OR_RETURN(T item, Decode<T>(statement.Text(0)));
    all.push_back(std::move(item));
  }
}

absl::StatusOr<int64_t> SqliteTransaction::PositionOf(const Scope& scope, const std::string& id,
                                                      const char* param) const {
  {
    GATEWAY_ASSIGN_OR_RETURN(
        Statement find, db_.Prepare(absl::StrCat("SELECT position FROM ", scope.table, Conditions(scope.columns, false),
                                                 " AND id = ?")));
    for (const auto& [column, value] : scope.columns) find.Bind(value);
    find.Bind(id);
    GATEWAY_ASSIGN_OR_RETURN(bool found, find.Step());
    if (found) return find.Integer(0);
  }
  GATEWAY_ASSIGN_OR_RETURN(Statement gone, db_.Prepare("SELECT position FROM gone WHERE id = ?"));
  gone.Bind(scope.id_prefix + id);
  GATEWAY_ASSIGN_OR_RETURN(bool was, gone.Step());
  if (was) return gone.Integer(0);
  return MakeError(ErrorKind::kInvalidValue, param, {id});
}

template <typename T>
absl::StatusOr<Page<T>> SqliteTransaction::GetPage(const Scope& scope, const PageRequest& page) const {
  std::string sql = absl::StrCat("SELECT body FROM ", scope.table, Conditions(scope.columns, scope.status.has_value()));
  // Before alone: the page that ends there, so the rows next to it, in the other direction.
  const bool backwards = !page.before.empty() && page.after.empty();
  const bool ascending = page.ascending != backwards;
  std::vector<int64_t> bounds;
  if (!page.after.empty()) {
    GATEWAY_ASSIGN_OR_RETURN(int64_t after, PositionOf(scope, page.after, "after"));
    absl::StrAppend(&sql, " AND position ", page.ascending ? ">" : "<", " ?");
    bounds.push_back(after);
  }
  if (!page.before.empty()) {
    GATEWAY_ASSIGN_OR_RETURN(int64_t before, PositionOf(scope, page.before, "before"));
    absl::StrAppend(&sql, " AND position ", page.ascending ? "<" : ">", " ?");
    bounds.push_back(before);
  }
  absl::StrAppend(&sql, " ORDER BY position ", ascending ? "ASC" : "DESC", " LIMIT ?");
  GATEWAY_ASSIGN_OR_RETURN(Statement list, db_.Prepare(sql));
  for (const auto& [column, value] : scope.columns) list.Bind(value);
  if (scope.status.has_value()) list.Bind(*scope.status);
  for (int64_t bound : bounds) list.Bind(bound);
  list.Bind(int64_t{page.limit} + 1);
  Page<T> result;
  GATEWAY_ASSIGN_OR_RETURN(result.items, GetAll<T>(std::move(list)));
  if (result.items.size() > static_cast<size_t>(page.limit)) {
    result.items.pop_back();
    result.has_more = true;
  }
  if (backwards) std::reverse(result.items.begin(), result.items.end());
  return result;
}

absl::Status SqliteTransaction::Delete(const char* table, const ProjectId& project, const std::string& id) {
  GATEWAY_ASSIGN_OR_RETURN(Statement remove,
                           db_.Prepare(absl::StrCat("DELETE FROM ", table, " WHERE project = ? AND id = ?")));
  return remove.Bind(project.value).Bind(id).Run();
}

// --- assistants ---

absl::StatusOr<Assistant> SqliteTransaction::GetAssistant(const ProjectId& project, const AssistantId& id) const {
  return GetOne<Assistant>({"assistants", {{"project", project.value}}}, "assistant", id.value);
}

absl::StatusOr<Page<Assistant>> SqliteTransaction::ListAssistants(const ProjectId& project,
                                                                  const PageRequest& page) const {
  return GetPage<Assistant>({"assistants", {{"project", project.value}}}, page);
}

absl::Status SqliteTransaction::PutAssistant(const Assistant& assistant) {
  GATEWAY_ASSIGN_OR_RETURN(Statement put, db_.Prepare("INSERT INTO assistants (project, id, body) VALUES (?, ?, ?) "
                                                      "ON CONFLICT (id) DO UPDATE SET body = excluded.body"));
  return put.Bind(assistant.project.value).Bind(assistant.id.value).Bind(Encode(assistant)).Run();
}

absl::Status SqliteTransaction::DeleteAssistant(const ProjectId& project, const AssistantId& id) {
  return Delete("assistants", project, id.value);
}

// --- threads and messages ---

absl::StatusOr<Thread> SqliteTransaction::GetThread(const ProjectId& project, const ThreadId& id) const {
  return GetOne<Thread>({"threads", {{"project", project.value}}}, "thread", id.value);
}

absl::Status SqliteTransaction::PutThread(const Thread& thread) {
  GATEWAY_ASSIGN_OR_RETURN(Statement put, db_.Prepare("INSERT INTO threads (project, id, body) VALUES (?, ?, ?) "
                                                      "ON CONFLICT (id) DO UPDATE SET body = excluded.body"));
  return put.Bind(thread.project.value).Bind(thread.id.value).Bind(Encode(thread)).Run();
}

absl::Status SqliteTransaction::DeleteThread(const ProjectId& project, const ThreadId& id) {
  return Delete("threads", project, id.value);
}

absl::StatusOr<Message> SqliteTransaction::GetMessage(const ProjectId& project, const ThreadId& thread,
                                                      const MessageId& id) const {
  return GetOne<Message>({"messages", {{"thread", thread.value}, {"project", project.value}}}, "message", id.value);
}

absl::StatusOr<Page<Message>> SqliteTransaction::ListMessages(const ProjectId& project, const ThreadId& thread,
                                                              const MessageFilter& filter,
                                                              const PageRequest& page) const {
  Scope scope{"messages", {{"thread", thread.value}, {"project", project.value}}};
  if (!filter.run_id.empty()) scope.columns.emplace_back("run", filter.run_id.value);
  return GetPage<Message>(scope, page);
}

absl::Status SqliteTransaction::PutMessage(const Message& message) {
  GATEWAY_ASSIGN_OR_RETURN(Statement put,
                           db_.Prepare("INSERT INTO messages (project, id, thread, run, body) VALUES (?, ?, ?, ?, ?) "
                                       "ON CONFLICT (id) DO UPDATE SET body = excluded.body"));
  return put.Bind(message.project.value)
      .Bind(message.id.value)
      .Bind(message.thread_id.value)
      .Bind(message.run_id.value_or(RunId()).value)
      .Bind(Encode(message))
      .Run();
}

absl::Status SqliteTransaction::DeleteMessage(const ProjectId& project, const ThreadId&, const MessageId& id) {
  return Delete("messages", project, id.value);
}

// --- runs ---

absl::StatusOr<Run> SqliteTransaction::GetRun(const ProjectId& project, const ThreadId& thread, const RunId& id) const {
  return GetOne<Run>({"runs", {{"thread", thread.value}, {"project", project.value}}}, "run", id.value);
}

absl::StatusOr<Page<Run>> SqliteTransaction::ListRuns(const ProjectId& project, const ThreadId& thread,
                                                      const PageRequest& page) const {
  return GetPage<Run>({"runs", {{"thread", thread.value}, {"project", project.value}}}, page);
}

absl::StatusOr<std::optional<Run>> SqliteTransaction::ActiveRun(const ProjectId& project,
                                                                const ThreadId& thread) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement get,
                           db_.Prepare("SELECT body FROM runs WHERE thread = ? AND active = 1 AND project = ?"));
  get.Bind(thread.value).Bind(project.value);
  GATEWAY_ASSIGN_OR_RETURN(std::vector<Run> runs, GetAll<Run>(std::move(get)));
  return runs.empty() ? std::nullopt : std::optional<Run>(std::move(runs.front()));
}

absl::StatusOr<std::vector<Run>> SqliteTransaction::AllActiveRuns() const {
  GATEWAY_ASSIGN_OR_RETURN(Statement list, db_.Prepare("SELECT body FROM runs WHERE active = 1 ORDER BY position"));
  return GetAll<Run>(std::move(list));
}

absl::Status SqliteTransaction::PutRun(const Run& run) {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement put, db_.Prepare("INSERT INTO runs (project, id, thread, active, body) VALUES (?, ?, ?, ?, ?) "
                                 "ON CONFLICT (id) DO UPDATE SET active = excluded.active, body = excluded.body"));
  return put.Bind(run.project.value)
      .Bind(run.id.value)
      .Bind(run.thread_id.value)
      .Bind(IsActive(run.status) ? 1 : 0)
      .Bind(Encode(run))
      .Run();
}

absl::StatusOr<RunStep> SqliteTransaction::GetStep(const ProjectId& project, const ThreadId&, const RunId& run,
                                                   const StepId& id) const {
  return GetOne<RunStep>({"steps", {{"run", run.value}, {"project", project.value}}}, "run step", id.value);
}

absl::StatusOr<Page<RunStep>> SqliteTransaction::ListSteps(const ProjectId& project, const ThreadId&, const RunId& run,
                                                           const PageRequest& page) const {
  return GetPage<RunStep>({"steps", {{"run", run.value}, {"project", project.value}}}, page);
}

absl::Status SqliteTransaction::PutStep(const RunStep& step) {
  GATEWAY_ASSIGN_OR_RETURN(Statement put,
                           db_.Prepare("INSERT INTO steps (project, id, thread, run, body) VALUES (?, ?, ?, ?, ?) "
                                       "ON CONFLICT (id) DO UPDATE SET body = excluded.body"));
  return put.Bind(step.project.value)
      .Bind(step.id.value)
      .Bind(step.thread_id.value)
      .Bind(step.run_id.value)
      .Bind(Encode(step))
      .Run();
}

absl::Status SqliteTransaction::Append(const RunId& run, std::vector<RunEvent> events) {
  announce_(run, events);
  return Persist(run, events);
}

absl::Status SqliteTransaction::Persist(const RunId& run, const std::vector<RunEvent>& events) {
  for (const RunEvent& event : events) {
    if (const auto* thread = std::get_if<Thread>(&event.payload)) GATEWAY_RETURN_IF_ERROR(PutThread(*thread));
    if (const auto* changed = std::get_if<Run>(&event.payload)) GATEWAY_RETURN_IF_ERROR(PutRun(*changed));
    if (const auto* step = std::get_if<RunStep>(&event.payload)) GATEWAY_RETURN_IF_ERROR(PutStep(*step));
    if (const auto* message = std::get_if<Message>(&event.payload)) GATEWAY_RETURN_IF_ERROR(PutMessage(*message));
  }
  // The log's rows after the objects: the first event of create-and-run is the thread's, before the run exists.
  for (const RunEvent& event : events) {
    if (IsDelta(event.kind) || std::holds_alternative<Error>(event.payload)) continue;
    GATEWAY_ASSIGN_OR_RETURN(
        Statement log,
        db_.Prepare("INSERT INTO run_events (run, sequence, kind, object, at_us) VALUES (?, ?, ?, ?, ?)"));
    std::string object = std::visit(
        [](const auto& payload) -> std::string {
          if constexpr (requires { payload.id.value; }) {
            return payload.id.value;
          } else {
            return "";
          }
        },
        event.payload);
    GATEWAY_RETURN_IF_ERROR(log.Bind(run.value)
                                .Bind(static_cast<int64_t>(event.sequence))
                                .Bind(static_cast<int64_t>(event.kind))
                                .Bind(object)
                                .Bind(absl::ToUnixMicros(absl::Now()))
                                .Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SqliteTransaction::NextSequence(const RunId& run) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement last, db_.Prepare("SELECT max(sequence) FROM run_events WHERE run = ?"));
  last.Bind(run.value);
  GATEWAY_RETURN_IF_ERROR(last.Step().status());
  return static_cast<uint64_t>(last.Integer(0)) + 1;
}

// --- files ---

absl::StatusOr<FileObject> SqliteTransaction::GetFile(const ProjectId& project, const FileId& id) const {
  absl::StatusOr<FileObject> file = GetOne<FileObject>({"files", {{"project", project.value}}}, "file", id.value);
  if (ErrorOf(file.status()).has_value()) return MakeError(ErrorKind::kFileMissing, "id", {id.value});
  return file;
}

absl::StatusOr<Page<FileObject>> SqliteTransaction::ListFiles(const ProjectId& project, const FileFilter& filter,
                                                              const PageRequest& page) const {
  Scope scope{"files", {{"project", project.value}}};
  if (!filter.purpose.empty()) scope.columns.emplace_back("purpose", filter.purpose);
  return GetPage<FileObject>(scope, page);
}

absl::StatusOr<bool> SqliteTransaction::IsBlobUsed(std::string_view sha256) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement find, db_.Prepare("SELECT EXISTS (SELECT 1 FROM files WHERE sha256 = ?) OR "
                                                       "EXISTS (SELECT 1 FROM upload_parts WHERE sha256 = ?)"));
  GATEWAY_RETURN_IF_ERROR(find.Bind(sha256).Bind(sha256).Step().status());
  return find.Integer(0) != 0;
}

absl::StatusOr<std::vector<std::string>> SqliteTransaction::AllBlobs() const {
  GATEWAY_ASSIGN_OR_RETURN(Statement list,
                           db_.Prepare("SELECT sha256 FROM files UNION SELECT sha256 FROM upload_parts"));
  std::vector<std::string> all;
  while (true) {
    GATEWAY_ASSIGN_OR_RETURN(bool row, list.Step());
    if (!row) return all;
    all.push_back(list.Text(0));
  }
}

absl::StatusOr<std::vector<FileObject>> SqliteTransaction::ExpiredFiles(absl::Time now) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement list, db_.Prepare("SELECT body FROM files WHERE expires_at_us <= ?"));
  list.Bind(absl::ToUnixMicros(now));
  return GetAll<FileObject>(std::move(list));
}

absl::Status SqliteTransaction::PutFile(const FileObject& file) {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement put,
      db_.Prepare("INSERT INTO files (project, id, purpose, sha256, expires_at_us, body) VALUES (?, ?, ?, ?, ?, ?) "
                  "ON CONFLICT (id) DO UPDATE SET body = excluded.body"));
  put.Bind(file.project.value).Bind(file.id.value).Bind(file.purpose).Bind(file.blob.sha256);
  file.expires_at.has_value() ? put.Bind(absl::ToUnixMicros(*file.expires_at)) : put.BindNull();
  return put.Bind(Encode(file)).Run();
}

absl::Status SqliteTransaction::DeleteFile(const ProjectId& project, const FileId& id) {
  return Delete("files", project, id.value);
}

// --- stores ---

absl::StatusOr<FileCounts> SqliteTransaction::CountsOf(const char* column, const std::string& id,
                                                       uint64_t* usage_bytes) const {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement count, db_.Prepare(absl::StrCat("SELECT status, count(*), total(usage_bytes) FROM store_files WHERE ",
                                                column, " = ? GROUP BY status")));
  count.Bind(id);
  FileCounts counts;
  while (true) {
    GATEWAY_ASSIGN_OR_RETURN(bool row, count.Step());
    if (!row) return counts;
    switch (static_cast<StoreFileStatus>(count.Integer(0))) {
      case StoreFileStatus::kInProgress:
        counts.in_progress = count.Integer(1);
        break;
      case StoreFileStatus::kCompleted:
        counts.completed = count.Integer(1);
        break;
      case StoreFileStatus::kCancelled:
        counts.cancelled = count.Integer(1);
        break;
      case StoreFileStatus::kFailed:
        counts.failed = count.Integer(1);
        break;
    }
    if (usage_bytes != nullptr) *usage_bytes += static_cast<uint64_t>(count.Integer(2));
  }
}

absl::Status SqliteTransaction::Count(VectorStore& store) const {
  store.usage_bytes = 0;
  GATEWAY_ASSIGN_OR_RETURN(store.counts, CountsOf("store", store.id.value, &store.usage_bytes));
  return absl::OkStatus();
}

absl::StatusOr<VectorStore> SqliteTransaction::GetStore(const ProjectId& project, const StoreId& id) const {
  GATEWAY_ASSIGN_OR_RETURN(VectorStore store,
                           GetOne<VectorStore>({"stores", {{"project", project.value}}}, "vector store", id.value));
  GATEWAY_RETURN_IF_ERROR(Count(store));
  return store;
}

absl::StatusOr<Page<VectorStore>> SqliteTransaction::ListStores(const ProjectId& project,
                                                                const PageRequest& page) const {
  GATEWAY_ASSIGN_OR_RETURN(Page<VectorStore> stores,
                           GetPage<VectorStore>({"stores", {{"project", project.value}}}, page));
  for (VectorStore& store : stores.items) GATEWAY_RETURN_IF_ERROR(Count(store));
  return stores;
}

absl::StatusOr<std::vector<VectorStore>> SqliteTransaction::StoresToExpire(absl::Time now) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement list, db_.Prepare("SELECT body FROM stores WHERE expires_at_us <= ?"));
  list.Bind(absl::ToUnixMicros(now));
  return GetAll<VectorStore>(std::move(list));
}

absl::Status SqliteTransaction::PutStore(const VectorStore& store) {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement put,
      db_.Prepare(
          "INSERT INTO stores (project, id, expires_at_us, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
          "SET expires_at_us = excluded.expires_at_us, body = excluded.body"));
  put.Bind(store.project.value).Bind(store.id.value);
  if (store.expires_after_days.has_value() && !store.purged) {
    put.Bind(absl::ToUnixMicros(store.last_active_at + absl::Hours(24) * *store.expires_after_days));
  } else {
    put.BindNull();
  }
  return put.Bind(Encode(store)).Run();
}

absl::Status SqliteTransaction::DeleteStore(const ProjectId& project, const StoreId& id) {
  return Delete("stores", project, id.value);
}

absl::StatusOr<VectorStoreFile> SqliteTransaction::GetStoreFile(const ProjectId& project, const StoreId& store,
                                                                const FileId& file) const {
  return GetOne<VectorStoreFile>({"store_files", {{"store", store.value}, {"project", project.value}}}, "file",
                                 file.value);
}

absl::StatusOr<Page<VectorStoreFile>> SqliteTransaction::ListStoreFiles(const ProjectId& project, const StoreId& store,
                                                                        const StoreFileFilter& filter,
                                                                        const PageRequest& page) const {
  Scope scope{"store_files", {{"store", store.value}, {"project", project.value}}, std::nullopt, store.value + "/"};
  if (!filter.batch_id.empty()) scope.columns.emplace_back("batch", filter.batch_id.value);
  if (filter.status.has_value()) scope.status = static_cast<int64_t>(*filter.status);
  return GetPage<VectorStoreFile>(scope, page);
}

absl::StatusOr<std::vector<VectorStoreFile>> SqliteTransaction::StoreFilesOf(const ProjectId& project,
                                                                             const FileId& file) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement list, db_.Prepare("SELECT body FROM store_files WHERE id = ? AND project = ?"));
  list.Bind(file.value).Bind(project.value);
  return GetAll<VectorStoreFile>(std::move(list));
}

absl::StatusOr<std::vector<VectorStoreFile>> SqliteTransaction::AllPendingStoreFiles() const {
  static_assert(static_cast<int>(StoreFileStatus::kInProgress) == 0);  // as the partial index has it
  GATEWAY_ASSIGN_OR_RETURN(Statement list,
                           db_.Prepare("SELECT body FROM store_files WHERE status = 0 ORDER BY position"));
  return GetAll<VectorStoreFile>(std::move(list));
}

absl::Status SqliteTransaction::PutStoreFile(const VectorStoreFile& file) {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement put,
      db_.Prepare("INSERT INTO store_files (project, store, id, batch, status, usage_bytes, body) "
                  "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (store, id) DO UPDATE SET batch = excluded.batch, "
                  "status = excluded.status, usage_bytes = excluded.usage_bytes, body = excluded.body"));
  return put.Bind(file.project.value)
      .Bind(file.store_id.value)
      .Bind(file.file_id.value)
      .Bind(file.batch_id.value)
      .Bind(static_cast<int64_t>(file.status))
      .Bind(static_cast<int64_t>(file.usage_bytes))
      .Bind(Encode(file))
      .Run();
}

absl::Status SqliteTransaction::DeleteStoreFile(const ProjectId& project, const StoreId& store, const FileId& file) {
  GATEWAY_ASSIGN_OR_RETURN(Statement remove,
                           db_.Prepare("DELETE FROM store_files WHERE store = ? AND id = ? AND project = ?"));
  return remove.Bind(store.value).Bind(file.value).Bind(project.value).Run();
}

absl::StatusOr<FileBatch> SqliteTransaction::GetBatch(const ProjectId& project, const StoreId& store,
                                                      const BatchId& id) const {
  GATEWAY_ASSIGN_OR_RETURN(
      FileBatch batch,
      GetOne<FileBatch>({"batches", {{"store", store.value}, {"project", project.value}}}, "file batch", id.value));
  GATEWAY_ASSIGN_OR_RETURN(batch.counts, CountsOf("batch", id.value, nullptr));
  return batch;
}

absl::Status SqliteTransaction::PutBatch(const FileBatch& batch) {
  GATEWAY_ASSIGN_OR_RETURN(Statement put,
                           db_.Prepare("INSERT INTO batches (project, id, store, body) VALUES (?, ?, ?, ?) "
                                       "ON CONFLICT (id) DO UPDATE SET body = excluded.body"));
  return put.Bind(batch.project.value).Bind(batch.id.value).Bind(batch.store_id.value).Bind(Encode(batch)).Run();
}

// --- containers ---

absl::StatusOr<Container> SqliteTransaction::GetContainer(const ProjectId& project, const ContainerId& id) const {
  return GetOne<Container>({"containers", {{"project", project.value}}}, "container", id.value);
}

absl::StatusOr<std::optional<Container>> SqliteTransaction::FindContainer(const ProjectId& project,
                                                                          const std::string& name) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement find, db_.Prepare("SELECT body FROM containers WHERE project = ? AND name = ? "
                                                       "ORDER BY position DESC LIMIT 1"));
  find.Bind(project.value).Bind(name);
  GATEWAY_ASSIGN_OR_RETURN(std::vector<Container> found, GetAll<Container>(std::move(find)));
  return found.empty() ? std::nullopt : std::optional<Container>(std::move(found.front()));
}

absl::StatusOr<Page<Container>> SqliteTransaction::ListContainers(const ProjectId& project,
                                                                  const ContainerFilter& filter,
                                                                  const PageRequest& page) const {
  Scope scope{"containers", {{"project", project.value}}};
  if (!filter.name.empty()) scope.columns.emplace_back("name", filter.name);
  return GetPage<Container>(scope, page);
}

absl::Status SqliteTransaction::PutContainer(const Container& container) {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement put,
      db_.Prepare("INSERT INTO containers (project, id, name, last_active_us, body) VALUES (?, ?, ?, ?, ?) "
                  "ON CONFLICT (id) DO UPDATE SET last_active_us = excluded.last_active_us, body = excluded.body"));
  return put.Bind(container.project.value)
      .Bind(container.id.value)
      .Bind(container.name)
      .Bind(absl::ToUnixMicros(container.last_active_at))
      .Bind(Encode(container))
      .Run();
}

absl::Status SqliteTransaction::DeleteContainer(const ProjectId& project, const ContainerId& id) {
  return Delete("containers", project, id.value);
}

absl::Status SqliteTransaction::ForgetContainers(absl::Time last_active_before) {
  GATEWAY_ASSIGN_OR_RETURN(Statement remove, db_.Prepare("DELETE FROM containers WHERE last_active_us < ?"));
  return remove.Bind(absl::ToUnixMicros(last_active_before)).Run();
}

// --- uploads ---

absl::StatusOr<FileUpload> SqliteTransaction::GetUpload(const ProjectId& project, const UploadId& id) const {
  return GetOne<FileUpload>({"uploads", {{"project", project.value}}}, "upload", id.value);
}

absl::StatusOr<std::vector<UploadPart>> SqliteTransaction::UploadParts(const ProjectId& project,
                                                                       const UploadId& id) const {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement list, db_.Prepare("SELECT body FROM upload_parts WHERE upload = ? AND project = ? ORDER BY position"));
  list.Bind(id.value).Bind(project.value);
  return GetAll<UploadPart>(std::move(list));
}

absl::StatusOr<std::vector<FileUpload>> SqliteTransaction::UploadsToExpire(absl::Time now) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement list,
                           db_.Prepare("SELECT body FROM uploads WHERE pending = 1 AND expires_at_us <= ?"));
  list.Bind(absl::ToUnixMicros(now));
  return GetAll<FileUpload>(std::move(list));
}

absl::Status SqliteTransaction::PutUpload(const FileUpload& upload) {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement put,
      db_.Prepare("INSERT INTO uploads (project, id, pending, expires_at_us, body) VALUES (?, ?, ?, ?, ?) "
                  "ON CONFLICT (id) DO UPDATE SET pending = excluded.pending, body = excluded.body"));
  return put.Bind(upload.project.value)
      .Bind(upload.id.value)
      .Bind(upload.status == FileUpload::Status::kPending ? 1 : 0)
      .Bind(absl::ToUnixMicros(upload.expires_at))
      .Bind(Encode(upload))
      .Run();
}

absl::Status SqliteTransaction::PutUploadPart(const UploadPart& part) {
  GATEWAY_ASSIGN_OR_RETURN(
      Statement put,
      db_.Prepare("INSERT INTO upload_parts (project, id, upload, sha256, body) VALUES (?, ?, ?, ?, ?)"));
  return put.Bind(part.project.value)
      .Bind(part.id.value)
      .Bind(part.upload_id.value)
      .Bind(part.blob.sha256)
      .Bind(Encode(part))
      .Run();
}

absl::Status SqliteTransaction::DeleteUploadParts(const ProjectId& project, const UploadId& id) {
  GATEWAY_ASSIGN_OR_RETURN(Statement remove, db_.Prepare("DELETE FROM upload_parts WHERE upload = ? AND project = ?"));
  return remove.Bind(id.value).Bind(project.value).Run();
}

// --- keys ---

absl::StatusOr<std::optional<ApiKey>> SqliteTransaction::FindKey(std::string_view sha256) const {
  GATEWAY_ASSIGN_OR_RETURN(Statement find, db_.Prepare("SELECT body FROM keys WHERE sha256 = ?"));
  find.Bind(sha256);
  GATEWAY_ASSIGN_OR_RETURN(std::vector<ApiKey> keys, GetAll<ApiKey>(std::move(find)));
  return keys.empty() ? std::nullopt : std::optional<ApiKey>(std::move(keys.front()));
}

absl::StatusOr<std::vector<ApiKey>> SqliteTransaction::AllKeys() const {
  GATEWAY_ASSIGN_OR_RETURN(Statement list, db_.Prepare("SELECT body FROM keys ORDER BY id"));
  return GetAll<ApiKey>(std::move(list));
}

absl::Status SqliteTransaction::PutKey(const ApiKey& key) {
  GATEWAY_ASSIGN_OR_RETURN(Statement put, db_.Prepare("INSERT INTO keys (id, sha256, body) VALUES (?, ?, ?) "
                                                      "ON CONFLICT (id) DO UPDATE SET body = excluded.body"));
  return put.Bind(key.id.value).Bind(key.sha256).Bind(Encode(key)).Run();
}

}  // namespace carrel::gateway
