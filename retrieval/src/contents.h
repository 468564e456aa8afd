// The SQL of contents: text, pages, passages, terms, vectors, and the keyword index of each store.
// Functions on a connection; the caller holds the transaction where it writes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "database.h"
#include "retrieval/document_text.h"
#include "retrieval/extraction.h"
#include "retrieval/passages.h"
#include "retrieval/types.h"
#include "schema.h"

namespace carrel::retrieval {

// Counts up when extraction, passages or terms change so that old contents should be read again.
inline constexpr int64_t kPipelineVersion = 2;

// What makes two documents one content.
struct ContentKey {
  std::string sha256;
  int type = 0;  // DocumentType; 0: not readable
  Chunking chunking;
  std::string model;
};

struct ContentRow {
  int64_t row = 0;
  ContentState state = ContentState::kQueued;
  std::optional<Verdict> verdict;
};

// Verdicts that another try may change.
[[nodiscard]] inline bool WorthAnotherTry(std::optional<Verdict> verdict) {
  return verdict == Verdict::kInternal || verdict == Verdict::kCrashed || verdict == Verdict::kLimit ||
         verdict == Verdict::kNoText;  // character recognition may be there by now
}

// None: not there yet.
[[nodiscard]] absl::StatusOr<std::optional<ContentRow>> FindContent(Connection& db, const ContentKey& key);
// Due at `now_ms`: the queue is in the order of arrival.
[[nodiscard]] absl::StatusOr<int64_t> InsertContent(Connection& db, const ContentKey& key, uint64_t size_bytes,
                                                    int64_t now_ms);
// Back into the queue, as if it had just been added.
[[nodiscard]] absl::Status RequeueContent(Connection& db, int64_t content, int64_t now_ms);
// What was made of the bytes so far goes.
[[nodiscard]] absl::Status FailContent(Connection& db, int64_t content, Verdict verdict, const std::string& message);

// What one sub-passage has in the index beside its span.
struct SubPassageText {
  std::string heading;        // the path of headings that it stands under
  std::string heading_terms;  // title and headings
  std::string body_terms;
};
// Text, pages and passages, and state kExtracted. With `layout_of` text and pages are copied from that content.
// ABORTED: it is gone meanwhile.
[[nodiscard]] absl::Status StoreExtraction(Connection& db, int64_t content, const Extraction& extraction,
                                           const Chunks& chunks, std::span<const SubPassageText> texts,
                                           std::optional<int64_t> layout_of);

// The text of the same bytes, read before for another model, so that they need not be read again.
struct StoredText {
  int64_t content = 0;
  // Without the pages' words. Its headings are the paths that sub-passages stood under, each one at the top level.
  Extraction extraction;
};
// None: no content that has been read has these bytes, type and sizes.
[[nodiscard]] absl::StatusOr<std::optional<StoredText>> FindStoredText(Connection& db, int64_t content);

struct SubPassageToEmbed {
  int64_t row = 0;
  Span span;
  std::string heading;
};
[[nodiscard]] absl::StatusOr<std::vector<SubPassageToEmbed>> SubPassagesWithoutVector(Connection& db, int64_t content,
                                                                                      uint32_t limit);
struct EmbeddingCounts {
  uint32_t done = 0;
  uint32_t all = 0;
};
[[nodiscard]] absl::StatusOr<EmbeddingCounts> CountEmbeddings(Connection& db, int64_t content);
[[nodiscard]] std::string_view VectorBytes(std::span<const float> vector);
// Where a sub-passage stands: what a search needs to know of one before it is worth a look at the records.
struct SubPassagePlace {
  int64_t row = 0;
  int64_t passage = 0;  // row of the enclosing one
  Span span;
};
// Calls `sink` for each sub-passage of the content that has a vector, by row.
[[nodiscard]] absl::Status ReadVectors(
    Connection& db, int64_t content,
    const std::function<void(const SubPassagePlace& place, std::span<const float> vector)>& sink);
struct FoundSubPassage {
  int64_t content = 0;
  SubPassagePlace place;
};
// None: it was deleted.
[[nodiscard]] absl::StatusOr<std::optional<FoundSubPassage>> FindSubPassage(Connection& db, int64_t row);

// Calls `sink` for the terms of each sub-passage of the content, in the order of ReadVectors.
[[nodiscard]] absl::Status ReadTerms(Connection& db, int64_t content,
                                     const std::function<void(std::string_view heading, std::string_view body)>& sink);

// The characters [begin, end) of a text; as many as there are.
[[nodiscard]] std::string_view Characters(std::string_view utf8, uint32_t begin, uint32_t end);
// The characters of `span`, as UTF-8. DATA_LOSS: they are not there.
[[nodiscard]] absl::StatusOr<std::string> ReadText(Connection& db, int64_t content, Span span);
// The stored pieces that touch `span`, cut to it, in order.
[[nodiscard]] absl::Status ReadTextPieces(Connection& db, int64_t content, Span span,
                                          const std::function<bool(uint32_t begin, std::string_view utf8)>& sink);
// The pages on which `span` stands, in order; of a span behind the body, those of its running heads.
[[nodiscard]] absl::StatusOr<std::vector<Page>> ReadPages(Connection& db, int64_t content, Span span);
// By its 1-based number; none: it was not read.
[[nodiscard]] absl::StatusOr<std::optional<Page>> ReadPage(Connection& db, int64_t content, uint32_t number);

// The keyword index of a store in the records, for the time in which a large one's postings are not in memory (yet). A
// small store has none: its postings are made when it is loaded, and thousands of virtual tables make every connection
// slow to open (SQLite looks at each table for each virtual one).
[[nodiscard]] absl::StatusOr<bool> HasTermIndex(Connection& db, int64_t store);
[[nodiscard]] absl::Status DropTermIndex(Connection& db, int64_t store);
// Makes a ready content visible in a store, which gets a keyword index if it has become large; there already is fine.
[[nodiscard]] absl::Status IndexContent(Connection& db, int64_t store, int64_t content);
[[nodiscard]] absl::Status UnindexContent(Connection& db, int64_t store, int64_t content);
[[nodiscard]] absl::StatusOr<bool> IsIndexed(Connection& db, int64_t store, int64_t content);
// Stores from whose keyword index something was taken out since it was last rewritten; its words are still in there.
struct UnmergedStore {
  int64_t store = 0;
  int64_t removals = 0;
};
[[nodiscard]] absl::StatusOr<std::vector<UnmergedStore>> UnmergedStores(Connection& db);
// It was rewritten since; what was taken out meanwhile is for another time.
[[nodiscard]] absl::Status SetMerged(Connection& db, const UnmergedStore& store);
// One step of rewriting the index without what was deleted, some milliseconds; `first`: the first of them. False: it is
// done.
[[nodiscard]] absl::StatusOr<bool> MergeTermIndex(Connection& db, int64_t store, bool first);

struct SubPassageMatch {
  int64_t sub_passage = 0;
  double score = 0;  // higher is better
};
// BM25; `terms` as QueryTerms gives them; `contents` null: all.
[[nodiscard]] absl::StatusOr<std::vector<SubPassageMatch>> SearchTerms(Connection& db, int64_t store,
                                                                       const std::vector<std::string>& terms,
                                                                       size_t count, const RowSet* contents);

// Removes all records of a content that no document names. The sha256 when no other content has these bytes, so that
// the blob is to go; else "".
[[nodiscard]] absl::StatusOr<std::string> PurgeContent(Connection& db, int64_t content);

}  // namespace carrel::retrieval
