// Files that come in parts: begun, added to, completed or given up. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/core/backing.h"
#include "gateway/core/files.h"
#include "gateway/types/upload.h"

namespace carrel::gateway {

struct CompletedUpload {
  FileUpload upload;
  FileObject file;
};

class Uploads {
 public:
  Uploads(Backing backing, Files& files) : backing_(backing), files_(files) {}

  // kPurpose, kNumberAboveMax.
  absl::StatusOr<FileUpload> Create(const ProjectId& project, NewUpload request);
  // kInvalidRequest when the upload is not pending, or the part does not fit it.
  absl::StatusOr<UploadPart> AddPart(const ProjectId& project, const UploadId& id, StoredBlob bytes);
  // The parts in this order make the file. `md5` is of the whole, in hexadecimal; "": not checked.
  absl::StatusOr<CompletedUpload> Complete(const ProjectId& project, const UploadId& id,
                                           const std::vector<PartId>& parts, const std::string& md5);
  absl::StatusOr<FileUpload> Cancel(const ProjectId& project, const UploadId& id);

  // Gives up the uploads whose time is over.
  absl::Status ExpireDue();

 private:
  absl::StatusOr<StoredBlob> Join(const std::vector<UploadPart>& parts, const std::string& md5);
  // Changes a pending upload, and drops its parts.
  absl::StatusOr<FileUpload> End(const ProjectId& project, const UploadId& id, FileUpload::Status status,
                                 const FileObject* file);

  Backing backing_;
  Files& files_;
};

}  // namespace carrel::gateway
