// The bytes of files in a directory: <root>/ab/<sha256>, mode 0600, written to the side and renamed when whole.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/ports/file_store.h"

namespace carrel::gateway {

// Makes the directory when it is not there, and throws away what an earlier process left half-written.
absl::StatusOr<std::unique_ptr<FileStore>> OpenBlobDirectory(const std::string& root);

}  // namespace carrel::gateway
