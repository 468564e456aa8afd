// The bytes of documents on disk, named by their sha256: <directory>/blobs/ab/ab12…; those on their way in are in
// <directory>/incoming, and what is left there by an ended process is removed at the start.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "retrieval/library.h"
#include "retrieval/sha256.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::retrieval {

// A file in incoming/, removed by the destructor unless it was placed.
class IncomingFile final : public Upload {
 public:
  IncomingFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  ~IncomingFile() override;
  absl::Status Write(std::string_view bytes) override;
  uint64_t size_bytes() const override { return size_; }

 private:
  friend class Blobs;
  UniqueFd fd_;
  std::string path_;
  Sha256 hash_;
  uint64_t size_ = 0;
};

// Thread-safety: Place and Remove of the same bytes must not overlap (the library holds the writer's lock).
class Blobs final {
 public:
  // Makes the folders, empties incoming/.
  [[nodiscard]] static absl::StatusOr<Blobs> Open(const std::string& directory);

  [[nodiscard]] absl::StatusOr<std::unique_ptr<IncomingFile>> NewFile() const;
  // Its bytes to the disk (fsync), and its sha256. Slow, and needs no lock.
  [[nodiscard]] absl::StatusOr<std::string> Seal(IncomingFile& file) const;
  // Under its name, durably. In the place of what is there already, which may have been damaged since.
  [[nodiscard]] absl::Status Place(IncomingFile& file, const std::string& sha256) const;
  // At its beginning, its bytes compared with their name. DATA_LOSS: they are not there, or not those that were placed.
  [[nodiscard]] absl::StatusOr<UniqueFd> OpenRead(const std::string& sha256) const;
  // None there is fine.
  [[nodiscard]] absl::Status Remove(const std::string& sha256) const;
  // Removes all that is not in `known`: placed by a process that ended before it wrote the record.
  [[nodiscard]] absl::Status Sweep(const absl::flat_hash_set<std::string>& known) const;

 private:
  explicit Blobs(std::string directory) : directory_(std::move(directory)) {}
  [[nodiscard]] std::string FolderOf(const std::string& sha256) const;
  std::string directory_;
};

}  // namespace carrel::retrieval
