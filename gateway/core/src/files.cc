#include "gateway/core/files.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

constexpr std::array<std::string_view, 6> kPurposes = {"fine-tune", "assistants", "batch",
                                                       "user_data", "vision",     "evals"};

}  // namespace

absl::StatusOr<std::unique_ptr<BlobWriter>> Files::StartUpload(uint64_t bytes_max) {
  return backing_.files.Create(bytes_max);
}

absl::Status Files::CheckPurpose(const std::string& purpose) {
  if (std::find(kPurposes.begin(), kPurposes.end(), purpose) != kPurposes.end()) return absl::OkStatus();
  return MakeError(ErrorKind::kPurpose, "purpose", {purpose});
}

absl::StatusOr<FileObject> Files::Create(const ProjectId& project, NewFile file) {
  FileObject object{.id = backing_.ids.NewFile(),
                    .project = project,
                    .created_at = backing_.clock.Now(),
                    .expires_at = std::nullopt,
                    .filename = std::move(file.filename),
                    .purpose = std::move(file.purpose),
                    .blob = file.stored.blob};
  if (file.expires_after.has_value()) object.expires_at = object.created_at + *file.expires_after;
  // The pin lives until the row is committed: nobody can take the bytes away in between.
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) { return t.PutFile(object); }));
  return object;
}

absl::StatusOr<FileObject> Files::Get(const ProjectId& project, const FileId& id) {
  FileObject file;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(file, s.GetFile(project, id));
    return absl::OkStatus();
  }));
  return file;
}

absl::StatusOr<Page<FileObject>> Files::List(const ProjectId& project, const FileFilter& filter,
                                             const PageRequest& page) {
  Page<FileObject> files;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(files, s.ListFiles(project, filter, page));
    return absl::OkStatus();
  }));
  return files;
}

absl::StatusOr<std::unique_ptr<BlobReader>> Files::Open(const FileObject& file) {
  return backing_.files.Open(file.blob.sha256);
}

absl::Status Files::Delete(const ProjectId& project, const FileId& id) {
  FileObject file;
  std::vector<VectorStoreFile> in_stores;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(file, s.GetFile(project, id));
    GATEWAY_ASSIGN_OR_RETURN(in_stores, s.StoreFilesOf(project, id));
    return absl::OkStatus();
  }));
  // Passages first: were they to fail after the file is gone, nothing would say that they are still there.
  for (const VectorStoreFile& entry : in_stores) {
    GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteFile(project, entry.store_id, id));
  }
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    for (const VectorStoreFile& entry : in_stores) {
      GATEWAY_RETURN_IF_ERROR(t.DeleteStoreFile(project, entry.store_id, id));
    }
    return t.DeleteFile(project, id);
  }));
  return RemoveUnused(file.blob.sha256);
}

// On the writer's thread, after the commit that made the blob unused: a file with the same bytes that comes meanwhile
// is either on record by then, or still pins them.
absl::Status Files::RemoveUnused(const std::string& sha256) {
  return backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(bool used, t.IsBlobUsed(sha256));
    return used ? absl::OkStatus() : backing_.files.Remove(sha256);
  });
}

absl::Status Files::RemoveOrphans() {
  std::vector<std::string> used;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(used, s.AllBlobs());
    return absl::OkStatus();
  }));
  std::sort(used.begin(), used.end());
  GATEWAY_ASSIGN_OR_RETURN(std::vector<std::string> kept, backing_.files.List());
  for (const std::string& sha256 : kept) {
    if (!std::binary_search(used.begin(), used.end(), sha256)) GATEWAY_RETURN_IF_ERROR(RemoveUnused(sha256));
  }
  return absl::OkStatus();
}

absl::Status Files::DeleteExpired() {
  std::vector<FileObject> expired;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(expired, s.ExpiredFiles(backing_.clock.Now()));
    return absl::OkStatus();
  }));
  for (const FileObject& file : expired) {
    absl::Status deleted = Delete(file.project, file.id);
    if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
  }
  return absl::OkStatus();
}

}  // namespace carrel::gateway
