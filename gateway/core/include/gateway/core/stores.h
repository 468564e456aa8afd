// Vector stores and their files, batches and search. Thread-safe.
//
// The functions that take a Transaction are for callers that make a store together with something else (a thread, an
// assistant); they must call Kick once the transaction is committed, so that new files are taken up at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/core/backing.h"
#include "gateway/core/ingester.h"
#include "gateway/types/file.h"

namespace carrel::gateway {

// Stores that were made on the side (an attachment's, a thread's) go away by themselves.
inline constexpr int kSideStoreDays = 7;

class Stores {
 public:
  Stores(Backing backing, Ingester& ingester) : backing_(backing), ingester_(ingester) {}

  absl::StatusOr<VectorStore> Create(const ProjectId& project, NewStore request);
  absl::StatusOr<VectorStore> Get(const ProjectId& project, const StoreId& id);
  // With its model, which the search tool is asked for.
  absl::StatusOr<VectorStore> GetWithModel(const ProjectId& project, const StoreId& id);
  absl::StatusOr<Page<VectorStore>> List(const ProjectId& project, const PageRequest& page);
  absl::StatusOr<VectorStore> Update(const ProjectId& project, const StoreId& id, StoreChange change);
  absl::Status Delete(const ProjectId& project, const StoreId& id);

  absl::StatusOr<VectorStoreFile> AddFile(const ProjectId& project, const StoreId& store, NewStoreFile file);
  absl::StatusOr<VectorStoreFile> GetFile(const ProjectId& project, const StoreId& store, const FileId& file);
  // With its progress, if it is in progress and the search tool can say.
  absl::StatusOr<VectorStoreFile> GetFileWithProgress(const ProjectId& project, const StoreId& store,
                                                      const FileId& file);
  absl::StatusOr<Page<VectorStoreFile>> ListFiles(const ProjectId& project, const StoreId& store,
                                                  const StoreFileFilter& filter, const PageRequest& page);
  absl::StatusOr<VectorStoreFile> SetAttributes(const ProjectId& project, const StoreId& store, const FileId& file,
                                                Attributes attributes);
  absl::Status RemoveFile(const ProjectId& project, const StoreId& store, const FileId& file);
  // The extracted text.
  absl::StatusOr<std::string> FileText(const ProjectId& project, const StoreId& store, const FileId& file);
  absl::StatusOr<Citation> Cite(const ProjectId& project, const StoreId& store, const FileId& file,
                                const TextSpan& span);
  absl::StatusOr<PagePicture> RenderPage(const PictureRequest& request);

  absl::StatusOr<FileBatch> CreateBatch(const ProjectId& project, const StoreId& store,
                                        std::vector<NewStoreFile> files);
  absl::StatusOr<FileBatch> GetBatch(const ProjectId& project, const StoreId& store, const BatchId& id);
  // Files that are still in progress end as cancelled.
  absl::StatusOr<FileBatch> CancelBatch(const ProjectId& project, const StoreId& store, const BatchId& id);

  // In one store: request.stores has exactly one. kStoreExpired when its time is over.
  absl::StatusOr<SearchAnswer> Search(const SearchRequest& request);
  // Counts as use, so that expiry starts anew; also for runs that search a store.
  absl::Status Touch(const ProjectId& project, const StoreId& store);

  absl::StatusOr<VectorStore> CreateIn(Transaction& t, const ProjectId& project, const NewStore& request);
  // Files that the store has already are left as they are. `param` is what an error blames.
  absl::Status AddFilesIn(Transaction& t, const VectorStore& store, const std::vector<NewStoreFile>& files,
                          const BatchId& batch, const std::string& param);
  void Kick() { ingester_.Kick(); }

  // Marks the stores whose time has come, and has their texts and vectors removed. What fails is done at the next call.
  absl::Status ExpireDue();

 private:
  absl::Status SetModel(const VectorStore& store, const std::string& model);

  Backing backing_;
  Ingester& ingester_;
};

// Whether file_search takes files of this name; names without an extension are left to the reader to judge.
bool IsSearchableName(std::string_view filename);

}  // namespace carrel::gateway
