// Files: uploaded by clients, or written by code. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/core/backing.h"
#include "gateway/types/file.h"

namespace carrel::gateway {

inline constexpr uint64_t kFileBytesMax = 512ull << 20;

class Files {
 public:
  explicit Files(Backing backing) : backing_(backing) {}

  struct NewFile {
    std::string filename;
    std::string purpose;
    std::optional<absl::Duration> expires_after;
    StoredBlob stored;
  };

  // Where an upload's bytes go while they come in.
  absl::StatusOr<std::unique_ptr<BlobWriter>> StartUpload(uint64_t bytes_max = kFileBytesMax);
  // kPurpose for a purpose that clients may not use.
  static absl::Status CheckPurpose(const std::string& purpose);
  absl::StatusOr<FileObject> Create(const ProjectId& project, NewFile file);

  absl::StatusOr<FileObject> Get(const ProjectId& project, const FileId& id);
  absl::StatusOr<Page<FileObject>> List(const ProjectId& project, const FileFilter& filter, const PageRequest& page);
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const FileObject& file);
  // From every store too.
  absl::Status Delete(const ProjectId& project, const FileId& id);

  // Deletes the files whose time has come.
  absl::Status DeleteExpired();
  // Removes the blobs that no file uses: what a crash between two writes left. For the start.
  absl::Status RemoveOrphans();
  // Removes these bytes unless something still uses them.
  absl::Status RemoveUnused(const std::string& sha256);

 private:
  Backing backing_;
};

}  // namespace carrel::gateway
