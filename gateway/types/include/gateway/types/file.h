// Files, and the stores that make them searchable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/ids.h"
#include "gateway/types/values.h"

namespace carrel::gateway {

// The bytes behind a file, wherever they are kept.
struct Blob {
  std::string sha256;  // lower-case hexadecimal; the key of the FileStore
  uint64_t size_bytes = 0;
  friend bool operator==(const Blob&, const Blob&) = default;
};

struct FileObject {
  FileId id;
  ProjectId project;
  absl::Time created_at;
  std::optional<absl::Time> expires_at;
  std::string filename;  // valid UTF-8, at most 255 bytes
  // One of fine-tune, assistants, batch, user_data, vision, evals; or assistants_output, for what code wrote.
  std::string purpose;
  Blob blob;
};

inline constexpr char kPurposeOutput[] = "assistants_output";

struct Chunking {
  int max_chunk_size_tokens = 800;
  int chunk_overlap_tokens = 400;
  friend bool operator==(const Chunking&, const Chunking&) = default;
};

// A store as a client asks for it.
struct NewStoreFile {
  FileId file_id;
  Attributes attributes;
  std::optional<Chunking> chunking;  // absent: the store's
};

struct NewStore {
  std::optional<std::string> name;
  std::optional<std::string> description;
  std::vector<NewStoreFile> files;
  std::optional<int> expires_after_days;
  std::optional<Chunking> chunking;
  Metadata metadata;
};

// What a client changes; absent: as it was. The inner nullopt clears.
struct StoreChange {
  std::optional<std::string> model;  // of embeddings, by name or alias
  std::optional<std::optional<std::string>> name;
  std::optional<std::optional<std::string>> description;
  std::optional<std::optional<int>> expires_after_days;
  std::optional<Metadata> metadata;
};

enum class StoreFileStatus { kInProgress, kCompleted, kCancelled, kFailed };

struct FileCounts {
  int64_t in_progress = 0;
  int64_t completed = 0;
  int64_t failed = 0;
  int64_t cancelled = 0;
  int64_t total() const { return in_progress + completed + failed + cancelled; }
};

// The model that a store's vectors are of.
struct StoreModel {
  std::string name;  // "": the server's; the store has no file yet
  // On its way to another, while it answers with this one.
  struct Change {
    std::string name;
    uint64_t documents_done = 0;
    uint64_t documents = 0;
    uint64_t embedded = 0;  // passages, of those known so far
    uint64_t to_embed = 0;
    uint64_t documents_failed = 0;
    std::string message;  // why the first of them could not be embedded anew
  };
  std::optional<Change> change;
};

struct VectorStore {
  enum class Status { kInProgress, kCompleted, kExpired };
  StoreId id;
  ProjectId project;
  absl::Time created_at;
  absl::Time last_active_at;
  std::optional<std::string> name;
  std::optional<std::string> description;
  std::optional<int> expires_after_days;  // after last_active_at
  Metadata metadata;
  Chunking chunking;
  bool expired = false;
  bool purged = false;  // expired, and its texts and vectors are gone
  // Counted from the files when it is read, not stored.
  FileCounts counts;
  uint64_t usage_bytes = 0;
  // Only when it was asked for; not stored.
  std::optional<StoreModel> model;

  Status status() const {
    return expired ? Status::kExpired : counts.in_progress > 0 ? Status::kInProgress : Status::kCompleted;
  }
};

struct StoreFileError {
  enum class Code { kServerError, kUnsupportedFile, kInvalidFile };
  Code code = Code::kServerError;
  std::string message;
  friend bool operator==(const StoreFileError&, const StoreFileError&) = default;
};

// What a reader found in a document.
struct DocumentFacts {
  uint64_t pages = 0;
  uint64_t characters = 0;
  uint64_t passages = 0;
  std::string verdict;  // "READ", "PARTIAL", "ENCRYPTED", …; "": not read yet
  std::string message;  // one sentence, unless it was read to its end
  friend bool operator==(const DocumentFacts&, const DocumentFacts&) = default;
};

// How far a file in progress is.
struct FileProgress {
  std::string phase;  // "queued", "extracting", "embedding"
  uint32_t pages_done = 0;
  uint32_t pages = 0;  // 0: not known yet
  uint32_t embedded = 0;
  uint32_t to_embed = 0;
  std::string message;  // why it waits to be tried again; "": it does not
};

struct VectorStoreFile {
  StoreId store_id;
  FileId file_id;
  ProjectId project;
  absl::Time created_at;
  StoreFileStatus status = StoreFileStatus::kInProgress;
  std::optional<StoreFileError> last_error;
  uint64_t usage_bytes = 0;
  Chunking chunking;
  Attributes attributes;
  std::string filename;
  DocumentFacts facts;
  // The batch that brought it; empty: none.
  BatchId batch_id;
  // Only when it was asked for; not stored.
  std::optional<FileProgress> progress;
};

struct FileBatch {
  BatchId id;
  StoreId store_id;
  ProjectId project;
  absl::Time created_at;
  bool cancelled = false;
  // Counted from the files when it is read, not stored.
  FileCounts counts;
};

// A key as it is kept: never the key itself.
struct ApiKey {
  KeyId id;
  ProjectId project;
  std::string name;
  std::string sha256;  // of the key, lower-case hexadecimal
  std::string hint;    // the last four characters
  absl::Time created_at;
  std::optional<absl::Time> revoked_at;
};

}  // namespace carrel::gateway
