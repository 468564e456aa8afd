// The objects of the repository, read and written through one connection.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "database.h"
#include "gateway/ports/repository.h"

namespace carrel::gateway {

// Within a transaction that someone else began and ends. As a Snapshot it only reads.
class SqliteTransaction final : public Transaction {
 public:
  // Numbers events and takes their place in the run's order (RunChannel::Enqueue, not at once).
  using Announce = std::function<void(const RunId&, std::vector<RunEvent>&)>;

  explicit SqliteTransaction(Database& database, Announce announce = nullptr)
      : db_(database), announce_(std::move(announce)) {}

  absl::StatusOr<Assistant> GetAssistant(const ProjectId& project, const AssistantId& id) const override;
  absl::StatusOr<Page<Assistant>> ListAssistants(const ProjectId& project, const PageRequest& page) const override;
  absl::StatusOr<Thread> GetThread(const ProjectId& project, const ThreadId& id) const override;
  absl::StatusOr<Message> GetMessage(const ProjectId& project, const ThreadId& thread,
                                     const MessageId& id) const override;
  absl::StatusOr<Page<Message>> ListMessages(const ProjectId& project, const ThreadId& thread,
                                             const MessageFilter& filter, const PageRequest& page) const override;
  absl::StatusOr<Run> GetRun(const ProjectId& project, const ThreadId& thread, const RunId& id) const override;
  absl::StatusOr<Page<Run>> ListRuns(const ProjectId& project, const ThreadId& thread,
                                     const PageRequest& page) const override;
  absl::StatusOr<std::optional<Run>> ActiveRun(const ProjectId& project, const ThreadId& thread) const override;
  absl::StatusOr<std::vector<Run>> AllActiveRuns() const override;
  absl::StatusOr<RunStep> GetStep(const ProjectId& project, const ThreadId& thread, const RunId& run,
                                  const StepId& id) const override;
  absl::StatusOr<Page<RunStep>> ListSteps(const ProjectId& project, const ThreadId& thread, const RunId& run,
                                          const PageRequest& page) const override;
  absl::StatusOr<FileObject> GetFile(const ProjectId& project, const FileId& id) const override;
  absl::StatusOr<Page<FileObject>> ListFiles(const ProjectId& project, const FileFilter& filter,
                                             const PageRequest& page) const override;
  absl::StatusOr<bool> IsBlobUsed(std::string_view sha256) const override;
  absl::StatusOr<std::vector<std::string>> AllBlobs() const override;
  absl::StatusOr<std::vector<FileObject>> ExpiredFiles(absl::Time now) const override;
  absl::StatusOr<VectorStore> GetStore(const ProjectId& project, const StoreId& id) const override;
  absl::StatusOr<Page<VectorStore>> ListStores(const ProjectId& project, const PageRequest& page) const override;
  absl::StatusOr<std::vector<VectorStore>> StoresToExpire(absl::Time now) const override;
  absl::StatusOr<VectorStoreFile> GetStoreFile(const ProjectId& project, const StoreId& store,
                                               const FileId& file) const override;
  absl::StatusOr<Page<VectorStoreFile>> ListStoreFiles(const ProjectId& project, const StoreId& store,
                                                       const StoreFileFilter& filter,
                                                       const PageRequest& page) const override;
  absl::StatusOr<std::vector<VectorStoreFile>> StoreFilesOf(const ProjectId& project,
                                                            const FileId& file) const override;
  absl::StatusOr<std::vector<VectorStoreFile>> AllPendingStoreFiles() const override;
  absl::StatusOr<FileBatch> GetBatch(const ProjectId& project, const StoreId& store, const BatchId& id) const override;
  absl::StatusOr<Container> GetContainer(const ProjectId& project, const ContainerId& id) const override;
  absl::StatusOr<std::optional<Container>> FindContainer(const ProjectId& project,
                                                         const std::string& name) const override;
  absl::StatusOr<Page<Container>> ListContainers(const ProjectId& project, const ContainerFilter& filter,
                                                 const PageRequest& page) const override;
  absl::StatusOr<FileUpload> GetUpload(const ProjectId& project, const UploadId& id) const override;
  absl::StatusOr<std::vector<UploadPart>> UploadParts(const ProjectId& project, const UploadId& id) const override;
  absl::StatusOr<std::vector<FileUpload>> UploadsToExpire(absl::Time now) const override;
  absl::StatusOr<std::optional<ApiKey>> FindKey(std::string_view sha256) const override;
  absl::StatusOr<std::vector<ApiKey>> AllKeys() const override;

  absl::Status PutAssistant(const Assistant& assistant) override;
  absl::Status DeleteAssistant(const ProjectId& project, const AssistantId& id) override;
  absl::Status PutThread(const Thread& thread) override;
  absl::Status DeleteThread(const ProjectId& project, const ThreadId& id) override;
  absl::Status PutMessage(const Message& message) override;
  absl::Status DeleteMessage(const ProjectId& project, const ThreadId& thread, const MessageId& id) override;
  absl::Status PutRun(const Run& run) override;
  absl::Status PutStep(const RunStep& step) override;
  absl::Status PutFile(const FileObject& file) override;
  absl::Status DeleteFile(const ProjectId& project, const FileId& id) override;
  absl::Status PutStore(const VectorStore& store) override;
  absl::Status DeleteStore(const ProjectId& project, const StoreId& id) override;
  absl::Status PutStoreFile(const VectorStoreFile& file) override;
  absl::Status DeleteStoreFile(const ProjectId& project, const StoreId& store, const FileId& file) override;
  absl::Status PutBatch(const FileBatch& batch) override;
  absl::Status PutContainer(const Container& container) override;
  absl::Status DeleteContainer(const ProjectId& project, const ContainerId& id) override;
  absl::Status ForgetContainers(absl::Time last_active_before) override;
  absl::Status PutUpload(const FileUpload& upload) override;
  absl::Status PutUploadPart(const UploadPart& part) override;
  absl::Status DeleteUploadParts(const ProjectId& project, const UploadId& id) override;
  absl::Status PutKey(const ApiKey& key) override;
  absl::Status Append(const RunId& run, std::vector<RunEvent> events) override;

  // Stores events that have their numbers: their objects, and a row each in the log. Deltas are passed over.
  absl::Status Persist(const RunId& run, const std::vector<RunEvent>& events);
  // The number after the last stored event of a run.
  absl::StatusOr<uint64_t> NextSequence(const RunId& run) const;

 private:
  // A list: rows of `table` that have all of `columns` with these values.
  struct Scope {
    std::string table;
    std::vector<std::pair<std::string, std::string>> columns;
    std::optional<int64_t> status;  // of store_files
    std::string id_prefix;          // of ids in `gone`
  };

  template <typename T>
  absl::StatusOr<T> GetOne(const Scope& scope, const char* noun, const std::string& id) const;
  template <typename T>
  absl::StatusOr<Page<T>> GetPage(const Scope& scope, const PageRequest& page) const;
  template <typename T>
  absl::StatusOr<std::vector<T>> GetAll(Statement statement) const;
  absl::StatusOr<int64_t> PositionOf(const Scope& scope, const std::string& id, const char* param) const;
  absl::StatusOr<FileCounts> CountsOf(const char* column, const std::string& id, uint64_t* usage_bytes) const;
  absl::Status Count(VectorStore& store) const;
  absl::Status Delete(const char* table, const ProjectId& project, const std::string& id);

  Database& db_;
  Announce announce_;
};

}  // namespace carrel::gateway
