// The library: stores of documents on disk, the work of reading them in, and search over them.
//
// A document that AddDocument returned is on disk and will be read in, whatever happens to the process. It becomes
// visible to searches at once and whole; a deleted one never comes back. The same bytes with the same settings are read
// and embedded once, however many stores hold them.
//
// Every call names the owner; what is another's is NOT_FOUND. Thread-safe: every method from any thread.
// Errors: NOT_FOUND, ALREADY_EXISTS (an id with other settings or bytes), INVALID_ARGUMENT (a model that is not here),
// RESOURCE_EXHAUSTED (the queue is full, the disk is full), INTERNAL and DATA_LOSS (ours). What happens to a document
// is a value, DocumentInfo::status. Limits of single fields are the caller's to check (the service does).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "retrieval/embedder.h"
#include "retrieval/extraction.h"
#include "retrieval/search.h"
#include "retrieval/types.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::retrieval {

struct LibraryOptions {
  std::string directory;  // made if it is not there; one process at a time (a lock file)
  bool sync_full = true;  // false: acknowledged survives kill -9, but not power loss
  uint32_t ingest_workers = 2;
  // How long a document is read while others wait; one that takes longer is begun again when there is room for it
  // beside the others, which always have a worker (if there are two).
  absl::Duration ingest_slice = absl::Seconds(5);
  uint64_t queue_length_max = 10'000;
  // Memory of the indexes of all stores; the least recently searched are dropped, and loaded again when they are
  // searched. The one in use may be larger.
  uint64_t index_bytes_max = 4ull << 30;
  // Sub-passages of a store from which it gets an index of vectors (below, they are scanned), and from which its index
  // of terms is kept in a file; so many of the newest are in neither.
  uint32_t indexed_vectors_min = 30'000;
  uint32_t indexed_terms_min = 1'000;
  uint32_t index_tail_max = 20'000;
  absl::Duration index_purge_pause = absl::Seconds(30);  // after a deletion, until its words' index is written anew
  ExtractionLimits extraction;
  // Told why a document waits to be tried again: each reason once, until documents get on. From any thread; may be
  // empty.
  std::function<void(const std::string& reason)> postponed;
  // For tests; empty: the machine's clock.
  std::function<int64_t()> now_ms;
};

// Bytes of a document on their way in; nothing is kept unless it is given to AddDocument. Not thread-safe.
class Upload {
 public:
  virtual ~Upload() = default;
  // RESOURCE_EXHAUSTED: the disk is full.
  [[nodiscard]] virtual absl::Status Write(std::string_view bytes) = 0;
  [[nodiscard]] virtual uint64_t size_bytes() const = 0;
};

// A page of a document as it was added.
struct OriginalPage {
  UniqueFd bytes;  // of the whole document, at their start
  std::string label;
  uint32_t pages = 0;  // of the document
  float width = 0;     // points
  float height = 0;
};

class Library {
 public:
  // Opens and mends: migrates, removes what an ended process left half-done, and goes on with the queue.
  // `embedders` (at least one; the first is the default) and `extractor` must outlive it.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Library>> Open(LibraryOptions options,
                                                                     std::vector<Embedder*> embedders,
                                                                     Extractor& extractor);
  // Stops the work; what is unfinished goes on at the next Open.
  virtual ~Library() = default;

  [[nodiscard]] virtual absl::StatusOr<StoreInfo> CreateStore(const NewStore& store) = 0;
  [[nodiscard]] virtual absl::StatusOr<StoreInfo> GetStore(const std::string& owner, const std::string& id) = 0;
  [[nodiscard]] virtual absl::StatusOr<std::vector<StoreInfo>> ListStores(const std::string& owner) = 0;
  [[nodiscard]] virtual absl::StatusOr<StoreInfo> UpdateStore(const std::string& owner, const std::string& id,
                                                              const StoreChange& change) = 0;
  // false: there was none.
  [[nodiscard]] virtual absl::StatusOr<bool> DeleteStore(const std::string& owner, const std::string& id) = 0;

  [[nodiscard]] virtual absl::StatusOr<std::unique_ptr<Upload>> NewUpload() = 0;
  // The id of a document that is there, with its bytes and chunking, gives that document. If it has failed, and may end
  // otherwise now (Carrel's fault, a limit, a crash, no text; or another chunking), it is read again as if it were new.
  [[nodiscard]] virtual absl::StatusOr<DocumentInfo> AddDocument(const NewDocument& document,
                                                                 std::unique_ptr<Upload> upload) = 0;
  [[nodiscard]] virtual absl::StatusOr<DocumentInfo> GetDocument(const DocumentName& name) = 0;
  // As GetDocument, once it is no longer in progress, at `deadline`, or when `cancelled` says so (asked often).
  [[nodiscard]] virtual absl::StatusOr<DocumentInfo> WaitForDocument(const DocumentName& name, absl::Time deadline,
                                                                     const std::function<bool()>& cancelled) = 0;
  [[nodiscard]] virtual absl::StatusOr<DocumentPage> ListDocuments(const DocumentList& list) = 0;
  [[nodiscard]] virtual absl::StatusOr<DocumentInfo> UpdateDocument(const DocumentName& name,
                                                                    const Attributes& attributes) = 0;
  [[nodiscard]] virtual absl::StatusOr<bool> DeleteDocument(const DocumentName& name) = 0;

  // The text of `span` (none: all) in order, in pieces of at most 64 KiB; `sink` returns false to stop.
  // FAILED_PRECONDITION: it has not been read (yet); OUT_OF_RANGE: the span does not lie in the text; ABORTED: it was
  // deleted meanwhile.
  using TextSink = std::function<bool(uint32_t begin, std::string_view utf8)>;
  [[nodiscard]] virtual absl::Status ReadContent(const DocumentName& name, std::optional<Span> span,
                                                 const TextSink& sink) = 0;

  // `span` as a citation. FAILED_PRECONDITION and OUT_OF_RANGE as above; an empty span is OUT_OF_RANGE.
  [[nodiscard]] virtual absl::StatusOr<Citation> Cite(const DocumentName& name, Span span) = 0;
  // FAILED_PRECONDITION: it has not been read, or has no layout; OUT_OF_RANGE: it does not have this page.
  [[nodiscard]] virtual absl::StatusOr<OriginalPage> OpenPage(const DocumentName& name, uint32_t number) = 0;

  [[nodiscard]] virtual absl::StatusOr<SearchAnswer> Search(const SearchQuery& query) = 0;

  [[nodiscard]] virtual absl::StatusOr<LibraryStatistics> Statistics() = 0;

  // Until no index is being worked on in the background. For tests and benchmarks.
  virtual void WaitForIndexes() = 0;

  // Removes expired stores, and what a change of model left; gives back disk space. Runs by itself every minute, and
  // after deletions.
  [[nodiscard]] virtual absl::Status Maintain() = 0;
};

}  // namespace carrel::retrieval
