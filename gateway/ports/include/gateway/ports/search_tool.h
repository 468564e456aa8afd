// Stores of documents and search over them. The gateway's repository knows which files a store has; this port makes
// their text searchable. All calls may be repeated: they are idempotent by id. They block (milliseconds; AddFile as
// long as the bytes take), so they belong on a worker's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/types/citation.h"
#include "gateway/types/file.h"
#include "gateway/types/ids.h"
#include "gateway/types/tool.h"
#include "gateway/types/values.h"

namespace carrel::gateway {

struct SearchFilter {
  enum class Op { kEq, kNe, kGt, kGte, kLt, kLte, kIn, kNin, kAnd, kOr };
  Op op = Op::kAnd;
  std::string key;                     // comparisons
  std::vector<AttributeValue> values;  // comparisons: one; kIn and kNin: 1 to 100
  std::vector<SearchFilter> filters;   // kAnd, kOr
};

struct SearchRequest {
  ProjectId project;
  std::vector<StoreId> stores;
  std::vector<std::string> queries;
  int max_results = 10;  // 1 to 50
  std::optional<SearchFilter> filter;
  RankingOptions ranking;
};

// How far a file is.
struct StoreFileState {
  StoreFileStatus status = StoreFileStatus::kInProgress;
  std::optional<StoreFileError> error;
  uint64_t usage_bytes = 0;
  DocumentFacts facts;
  FileProgress progress;
};

struct PictureRequest {
  ProjectId project;
  StoreId store;
  FileId file;
  int page = 0;                  // 1-based; 0: where `span` begins
  std::optional<TextSpan> span;  // highlighted
  int dpi = 0;                   // 0: the service's choice
};

// A page as people see it.
struct PagePicture {
  std::string png;
  int page = 0;
};

// Thread-safe. UNAVAILABLE: no retrieval service can be reached; RESOURCE_EXHAUSTED: its queue or its disk is full.
class SearchTool {
 public:
  virtual ~SearchTool() = default;

  virtual absl::Status EnsureStore(const ProjectId& project, const StoreId& store, const Chunking& chunking) = 0;
  virtual absl::Status DeleteStore(const ProjectId& project, const StoreId& store) = 0;
  // NOT_FOUND: there is no such store over there (yet).
  virtual absl::StatusOr<StoreModel> Model(const ProjectId& project, const StoreId& store) = 0;
  // Begins to embed everything in it anew; `model` by name or alias. INVALID_ARGUMENT: there is no such model.
  virtual absl::StatusOr<StoreModel> SetModel(const ProjectId& project, const StoreId& store,
                                              const std::string& model) = 0;
  // Hands the bytes over; OK: they will be read, also after a restart. Ask FileState for the outcome.
  virtual absl::StatusOr<StoreFileState> AddFile(const VectorStoreFile& file, const FileObject& object) = 0;
  // NOT_FOUND: the store does not have it (any more): add it again.
  virtual absl::StatusOr<StoreFileState> FileState(const ProjectId& project, const StoreId& store,
                                                   const FileId& file) = 0;
  virtual absl::Status SetAttributes(const ProjectId& project, const StoreId& store, const FileId& file,
                                     const Attributes& attributes) = 0;
  // None there is fine.
  virtual absl::Status DeleteFile(const ProjectId& project, const StoreId& store, const FileId& file) = 0;
  // The extracted text.
  virtual absl::StatusOr<std::string> FileText(const ProjectId& project, const StoreId& store, const FileId& file) = 0;
  // A span of the text as a citation; kInvalidRequest says what of it cannot be.
  virtual absl::StatusOr<Citation> Cite(const ProjectId& project, const StoreId& store, const FileId& file,
                                        const TextSpan& span) = 0;
  // kInvalidRequest also where a document has no layout to draw, or a page cannot be drawn; kOverloaded.
  virtual absl::StatusOr<PagePicture> RenderPage(const PictureRequest& request) = 0;
  virtual absl::StatusOr<SearchAnswer> Search(const SearchRequest& request) = 0;
};

}  // namespace carrel::gateway
