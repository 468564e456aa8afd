// The values that the library of stores takes and gives: plain, no ownership, no behaviour.
//
// Offsets are code points, half-open. Times are Unix milliseconds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "retrieval/document_text.h"
#include "retrieval/extraction.h"

namespace carrel::retrieval {

// Tokens of an enclosing passage, and those that neighbours share.
struct Chunking {
  uint32_t max_tokens = 800;
  uint32_t overlap_tokens = 400;
  bool operator==(const Chunking&) const = default;
};

using AttributeValue = std::variant<std::string, double, bool>;
using Attributes = std::map<std::string, AttributeValue>;

struct NewStore {
  std::string owner;
  std::string name;
  Chunking chunking;
  std::string model;  // "": the library's
  uint32_t expires_after_days = 0;
  std::string id;  // "": one is made
};

struct DocumentCounts {
  uint64_t in_progress = 0;
  uint64_t completed = 0;
  uint64_t failed = 0;
};

// How far a store is on its way to another model, while it answers with the one it has.
struct ReembeddingInfo {
  std::string model;
  uint64_t documents_done = 0;  // with the other model, of those in the store
  uint64_t documents = 0;
  uint64_t embedded = 0;  // sub-passages, of those known so far
  uint64_t to_embed = 0;
  // Documents that could not be embedded anew, why the first of them could not: the store keeps its model until they
  // can (asking for the same model once more tries again), or are deleted.
  uint64_t documents_failed = 0;
  std::string message;
};

struct StoreInfo {
  std::string id;
  std::string owner;
  std::string name;
  Chunking chunking;
  std::string model;
  uint32_t expires_after_days = 0;
  int64_t created_ms = 0;
  int64_t last_active_ms = 0;
  DocumentCounts documents;
  uint64_t passages = 0;
  uint64_t usage_bytes = 0;
  std::optional<ReembeddingInfo> reembedding;
};

struct StoreChange {
  std::optional<std::string> name;
  std::optional<uint32_t> expires_after_days;
  // Embed everything anew with this model (by name or alias); the one it has serves until all is done. The one it has
  // calls a re-embedding off; the one on its way tries again what failed.
  std::optional<std::string> model;
};

struct NewDocument {
  std::string owner;
  std::string store_id;
  std::string file_name;
  std::string id;  // "": one is made
  Attributes attributes;
  std::optional<Chunking> chunking;  // unset: the store's
};

enum class DocumentStatus : uint8_t { kInProgress = 1, kCompleted = 2, kFailed = 3 };
enum class Phase : uint8_t { kQueued, kExtracting, kEmbedding, kDone };

struct DocumentProgress {
  Phase phase = Phase::kQueued;
  uint32_t pages_done = 0;
  uint32_t pages = 0;  // 0: not known yet
  uint32_t embedded = 0;
  uint32_t to_embed = 0;
};

struct DocumentInfo {
  std::string id;
  std::string store_id;
  std::string file_name;
  uint64_t size_bytes = 0;
  std::string sha256;
  DocumentStatus status = DocumentStatus::kInProgress;
  std::optional<Verdict> verdict;  // once it is not in progress
  // When kFailed, or kPartial, or some pages have no text; while kInProgress, why it waits to be tried again.
  std::string message;
  Attributes attributes;
  Chunking chunking;
  int64_t created_ms = 0;
  uint32_t pages = 0;
  uint64_t characters = 0;
  uint64_t passages = 0;
  uint64_t usage_bytes = 0;
  DocumentProgress progress;
};

struct DocumentPage {
  std::vector<DocumentInfo> documents;
  bool has_more = false;
};

struct DocumentList {
  std::string owner;
  std::string store_id;
  std::optional<DocumentStatus> status;
  std::string after;  // a document's id; "": from the start
  uint32_t limit = 100;
};

// Of the whole library, for who watches over it.
struct LibraryStatistics {
  uint64_t queue_length = 0;  // different documents that are in progress
  uint64_t postponed = 0;     // of these, that failed to be read or embedded and wait to be tried again
  uint64_t stores = 0;
  uint64_t index_bytes = 0;  // of memory
};

// Names one document, as its owner sees it.
struct DocumentName {
  std::string owner;
  std::string store_id;
  std::string document_id;
};

}  // namespace carrel::retrieval
