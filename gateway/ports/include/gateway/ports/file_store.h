// Bytes by their SHA-256, streamed in and out in constant memory.
//
// A blob that was just written is pinned until the pin is dropped, so that deleting the last file with the same bytes
// cannot take them away before the new file is on record. Remove is called from within a write of the repository, after
// asking whether a file still uses the blob.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/types/file.h"

namespace carrel::gateway {

struct StoredBlob {
  Blob blob;
  // Keep until the file that uses the blob is in the repository.
  std::shared_ptr<void> pin;
};

// Thread-compatible. Destroyed before Finish: nothing is kept.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  virtual absl::Status Append(std::string_view bytes) = 0;
  // Durable when it returns OK.
  virtual absl::StatusOr<StoredBlob> Finish() = 0;
};

// Thread-compatible.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  virtual uint64_t size_bytes() const = 0;
  // The next bytes; 0 at the end.
  virtual absl::StatusOr<size_t> Read(std::span<char> buffer) = 0;
};

// Thread-safe.
class FileStore {
 public:
  virtual ~FileStore() = default;
  // RESOURCE_EXHAUSTED from Append when more than `bytes_max` are written.
  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> Create(uint64_t bytes_max) = 0;
  // NOT_FOUND when there is no such blob.
  virtual absl::StatusOr<std::unique_ptr<BlobReader>> Open(std::string_view sha256) = 0;
  // Does nothing when the blob is pinned or absent.
  virtual absl::Status Remove(std::string_view sha256) = 0;
  // Every blob there is.
  virtual absl::StatusOr<std::vector<std::string>> List() = 0;
};

}  // namespace carrel::gateway
