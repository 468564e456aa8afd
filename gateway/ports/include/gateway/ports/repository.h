// Everything that the gateway remembers but the bytes of files: objects by project and id, in transactions.
//
// Reads see one consistent state. Writes are applied one after the other, each whole or not at all, and are durable
// when the call returns (or `done` is called): they survive kill -9, and power loss when the storage is told so. Every
// getter takes the project: an object of another project is not found (a NotFound status of the kind of types/error.h,
// or nullopt where it says so). Objects are values; a Put replaces.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/types/assistant.h"
#include "gateway/types/container.h"
#include "gateway/types/file.h"
#include "gateway/types/ids.h"
#include "gateway/types/run.h"
#include "gateway/types/thread.h"
#include "gateway/types/upload.h"

namespace carrel::gateway {

// Objects stand in the order in which they were made; a page is a window of that order.
struct PageRequest {
  int limit = 20;
  bool ascending = false;
  // Ids of objects of the same list; the window begins after, or ends before them. An id that is not of the list is an
  // error (kInvalidValue on "after" or "before").
  std::string after;
  std::string before;
};

template <typename T>
struct Page {
  std::vector<T> items;
  bool has_more = false;
};

// Narrow a list; empty: do not.
struct FileFilter {
  std::string purpose;
};
struct MessageFilter {
  RunId run_id;
};
struct ContainerFilter {
  std::string name;
};
struct StoreFileFilter {
  std::optional<StoreFileStatus> status;
  BatchId batch_id;
};

class Snapshot {
 public:
  virtual ~Snapshot() = default;

  virtual absl::StatusOr<Assistant> GetAssistant(const ProjectId& project, const AssistantId& id) const = 0;
  virtual absl::StatusOr<Page<Assistant>> ListAssistants(const ProjectId& project, const PageRequest& page) const = 0;

  virtual absl::StatusOr<Thread> GetThread(const ProjectId& project, const ThreadId& id) const = 0;
  virtual absl::StatusOr<Message> GetMessage(const ProjectId& project, const ThreadId& thread,
                                             const MessageId& id) const = 0;
  virtual absl::StatusOr<Page<Message>> ListMessages(const ProjectId& project, const ThreadId& thread,
                                                     const MessageFilter& filter, const PageRequest& page) const = 0;

  virtual absl::StatusOr<Run> GetRun(const ProjectId& project, const ThreadId& thread, const RunId& id) const = 0;
  virtual absl::StatusOr<Page<Run>> ListRuns(const ProjectId& project, const ThreadId& thread,
                                             const PageRequest& page) const = 0;
  // The run that holds the thread (IsActive), if one does.
  virtual absl::StatusOr<std::optional<Run>> ActiveRun(const ProjectId& project, const ThreadId& thread) const = 0;
  // Of all projects: what a start has to take up again. Oldest first.
  virtual absl::StatusOr<std::vector<Run>> AllActiveRuns() const = 0;
  virtual absl::StatusOr<RunStep> GetStep(const ProjectId& project, const ThreadId& thread, const RunId& run,
                                          const StepId& id) const = 0;
  virtual absl::StatusOr<Page<RunStep>> ListSteps(const ProjectId& project, const ThreadId& thread, const RunId& run,
                                                  const PageRequest& page) const = 0;

  virtual absl::StatusOr<FileObject> GetFile(const ProjectId& project, const FileId& id) const = 0;
  virtual absl::StatusOr<Page<FileObject>> ListFiles(const ProjectId& project, const FileFilter& filter,
                                                     const PageRequest& page) const = 0;
  // Whether any file, or part of an upload, of any project has these bytes.
  virtual absl::StatusOr<bool> IsBlobUsed(std::string_view sha256) const = 0;
  // Every blob that a file or a part of an upload has, each once.
  virtual absl::StatusOr<std::vector<std::string>> AllBlobs() const = 0;
  virtual absl::StatusOr<std::vector<FileObject>> ExpiredFiles(absl::Time now) const = 0;

  // Counts and usage are those of the moment.
  virtual absl::StatusOr<VectorStore> GetStore(const ProjectId& project, const StoreId& id) const = 0;
  virtual absl::StatusOr<Page<VectorStore>> ListStores(const ProjectId& project, const PageRequest& page) const = 0;
  // Of all projects: stores whose expiry has come and that are not marked yet.
  virtual absl::StatusOr<std::vector<VectorStore>> StoresToExpire(absl::Time now) const = 0;
  virtual absl::StatusOr<VectorStoreFile> GetStoreFile(const ProjectId& project, const StoreId& store,
                                                       const FileId& file) const = 0;
  virtual absl::StatusOr<Page<VectorStoreFile>> ListStoreFiles(const ProjectId& project, const StoreId& store,
                                                               const StoreFileFilter& filter,
                                                               const PageRequest& page) const = 0;
  // The stores that hold a file.
  virtual absl::StatusOr<std::vector<VectorStoreFile>> StoreFilesOf(const ProjectId& project,
                                                                    const FileId& file) const = 0;
  // Of all projects: those in progress.
  virtual absl::StatusOr<std::vector<VectorStoreFile>> AllPendingStoreFiles() const = 0;
  virtual absl::StatusOr<FileBatch> GetBatch(const ProjectId& project, const StoreId& store,
                                             const BatchId& id) const = 0;

  virtual absl::StatusOr<Container> GetContainer(const ProjectId& project, const ContainerId& id) const = 0;
  // The youngest of this name.
  virtual absl::StatusOr<std::optional<Container>> FindContainer(const ProjectId& project,
                                                                 const std::string& name) const = 0;
  virtual absl::StatusOr<Page<Container>> ListContainers(const ProjectId& project, const ContainerFilter& filter,
                                                         const PageRequest& page) const = 0;

  virtual absl::StatusOr<FileUpload> GetUpload(const ProjectId& project, const UploadId& id) const = 0;
  // In the order in which they came.
  virtual absl::StatusOr<std::vector<UploadPart>> UploadParts(const ProjectId& project, const UploadId& id) const = 0;
  // Of all projects: pending ones whose time is over.
  virtual absl::StatusOr<std::vector<FileUpload>> UploadsToExpire(absl::Time now) const = 0;

  // By the hash of the key; nullopt: none. A revoked key is returned, with revoked_at.
  virtual absl::StatusOr<std::optional<ApiKey>> FindKey(std::string_view sha256) const = 0;
  virtual absl::StatusOr<std::vector<ApiKey>> AllKeys() const = 0;
};

class Transaction : public Snapshot {
 public:
  virtual absl::Status PutAssistant(const Assistant& assistant) = 0;
  virtual absl::Status DeleteAssistant(const ProjectId& project, const AssistantId& id) = 0;
  virtual absl::Status PutThread(const Thread& thread) = 0;
  // With its messages, runs and steps.
  virtual absl::Status DeleteThread(const ProjectId& project, const ThreadId& id) = 0;
  virtual absl::Status PutMessage(const Message& message) = 0;
  virtual absl::Status DeleteMessage(const ProjectId& project, const ThreadId& thread, const MessageId& id) = 0;
  virtual absl::Status PutRun(const Run& run) = 0;
  // Without an event: the calls of a step that waits for their results, which clients may poll and a restart must know.
  virtual absl::Status PutStep(const RunStep& step) = 0;
  virtual absl::Status PutFile(const FileObject& file) = 0;
  virtual absl::Status DeleteFile(const ProjectId& project, const FileId& id) = 0;
  virtual absl::Status PutStore(const VectorStore& store) = 0;
  // With its files and batches.
  virtual absl::Status DeleteStore(const ProjectId& project, const StoreId& id) = 0;
  virtual absl::Status PutStoreFile(const VectorStoreFile& file) = 0;
  virtual absl::Status DeleteStoreFile(const ProjectId& project, const StoreId& store, const FileId& file) = 0;
  virtual absl::Status PutBatch(const FileBatch& batch) = 0;
  virtual absl::Status PutContainer(const Container& container) = 0;
  virtual absl::Status DeleteContainer(const ProjectId& project, const ContainerId& id) = 0;
  // Of all projects: those that were last used before.
  virtual absl::Status ForgetContainers(absl::Time last_active_before) = 0;
  virtual absl::Status PutUpload(const FileUpload& upload) = 0;
  virtual absl::Status PutUploadPart(const UploadPart& part) = 0;
  virtual absl::Status DeleteUploadParts(const ProjectId& project, const UploadId& id) = 0;
  virtual absl::Status PutKey(const ApiKey& key) = 0;

  // Appends to the run's log and makes the payload the stored state of its object (a thread, run, step or message).
  // Subscribers see the events when the transaction is durable. Not for deltas.
  virtual absl::Status Append(const RunId& run, std::vector<RunEvent> events) = 0;
};

// Thread-safe.
class Repository {
 public:
  using ReadWork = std::function<absl::Status(const Snapshot&)>;
  using WriteWork = absl::AnyInvocable<absl::Status(Transaction&)>;
  using Done = absl::AnyInvocable<void(absl::Status)>;

  virtual ~Repository() = default;

  // On the caller's thread. The status is that of the work.
  virtual absl::Status Read(const ReadWork& work) = 0;
  // The work runs on the writer's thread, exactly once; a status that is not OK rolls it back and is returned. It must
  // not block, and must not call the repository.
  virtual void WriteAsync(WriteWork work, Done done) = 0;
  // The same, waiting. Not from within `work` or `done`.
  virtual absl::Status Write(WriteWork work) = 0;
};

}  // namespace carrel::gateway
