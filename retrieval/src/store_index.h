// One store's index in memory: the vectors and terms of its sub-passages by position, and its documents' attributes.
//
// A cache of the records: loaded when the store is first searched, kept in step with them (IndexRegistry says when),
// dropped when memory is short. A content's sub-passages stand at consecutive positions; what is deleted keeps its
// place and is no longer allowed, until the index is loaded anew.
//
// Thread-safety: `mutex` shared to search, exclusive to change; lists, base and tail are replaced whole, so that they
// are made without holding it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "contents.h"
#include "database.h"
#include "retrieval/attribute_index.h"
#include "retrieval/filter.h"
#include "retrieval/position_set.h"
#include "retrieval/postings.h"
#include "retrieval/vector_index.h"

namespace carrel::retrieval {

// From when on what is worked out; smaller in tests.
struct IndexThresholds {
  uint32_t lists_min = 30'000;    // vectors: below, a scan of all takes about a millisecond
  uint32_t postings_min = 1'000;  // sub-passages: below, postings are made faster than read from a file
  // Positions outside lists or postings, or a tenth of all if that is more; outside postings at most half of all.
  uint32_t tail_max = 20'000;
  uint32_t unfiled_max = 4'096;  // positions that the file of vectors lacks; so many are read from the records at once
  uint32_t dead_min = 4'096;     // dead positions that are worth loading anew for, if they are a third of all
  absl::Duration purge_pause = absl::Seconds(30);  // after the last deletion, until postings are made without it
};

// One sub-passage that a leg found.
struct IndexMatch {
  static constexpr uint32_t kNowhere = ~0u;
  uint32_t position = kNowhere;  // in the index; kNowhere: not there (yet), only in the records
  int64_t content = 0;
  SubPassagePlace place;
  double score = 0;  // higher is better
};

class StoreIndex final {
 public:
  // What a content is in the index: sub-passages [begin, end).
  struct Slot {
    int64_t content = 0;
    uint32_t begin = 0;
    uint32_t end = 0;
    bool alive = true;
  };

  mutable std::shared_mutex mutex;

  // Exclusive. A content that is there already is left as it is. FAILED_PRECONDITION: its vectors have another length.
  [[nodiscard]] absl::Status AddContent(Connection& db, int64_t content);
  // A content that was deleted since its places in a cache were worked out: `count` places with nothing in them.
  void AddDead(int64_t content, uint32_t count);
  void RemoveContent(int64_t content);
  // Makes the tail anew: the terms of the positions after `base`.
  [[nodiscard]] absl::Status FillTail(Connection& db);
  // Makes `base` of all that is there, and an empty tail, unless there is one or it is made in the background.
  [[nodiscard]] absl::Status EnsureBase(Connection& db);
  // The terms of a slot's positions, in order; empty ones for what is dead, or has been deleted since.
  [[nodiscard]] static absl::Status ReadSlotTerms(
      Connection& db, const Slot& slot,
      const std::function<void(std::string_view heading, std::string_view body)>& take);

  // Shared. The positions that may be found; null: all of them. Good for as long as the lock is held.
  class Allowed {
   public:
    [[nodiscard]] const PositionSet* get() const { return set_; }

   private:
    friend class StoreIndex;
    const PositionSet* set_ = nullptr;
    std::shared_ptr<const PositionSet> made_;
  };
  // `attributes` must have been loaded if there is a filter. The last few filters are kept until something changes: a
  // conversation asks with the same one again and again.
  [[nodiscard]] Allowed AllowedBy(const std::optional<Filter>& filter) const;
  // The contents of the documents that pass, for FTS5.
  [[nodiscard]] RowSet ContentsAllowedBy(const Filter& filter) const;
  // FAILED_PRECONDITION: the question's vector has another length than the store's.
  [[nodiscard]] absl::StatusOr<std::vector<IndexMatch>> SearchVectors(std::span<const float> query, size_t count,
                                                                      const Allowed& allowed) const;
  // None: the terms are not here (yet); if `in_records`, FTS5 has them.
  [[nodiscard]] std::optional<std::vector<IndexMatch>> SearchTerms(const std::vector<std::string>& terms, size_t count,
                                                                   const Allowed& allowed) const;

  // Where a content's sub-passage stands; none: it is not here (any more).
  [[nodiscard]] std::optional<uint32_t> PositionOf(int64_t content, int64_t sub_passage) const;

  [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(places.size()); }
  [[nodiscard]] uint32_t InFile() const { return slots_in_file == 0 ? 0 : slots[slots_in_file - 1].end; }  // positions
  [[nodiscard]] uint32_t dead() const { return size() - live.count(); }
  [[nodiscard]] size_t bytes() const;

  std::vector<SubPassagePlace> places;             // by position
  std::vector<Slot> slots;                         // by position
  absl::flat_hash_map<int64_t, uint32_t> slot_of;  // the living, by content
  PositionSet live;
  std::unique_ptr<VectorIndex> vectors;  // null while there is none
  std::shared_ptr<const Postings> base;  // null: not worked out, or nothing is there
  bool base_in_file = false;             // or it was tried: what cannot be written is missed at the next start only
  bool in_records = false;               // has a keyword index there: `base` is made in the background
  std::unique_ptr<PostingsTail> tail;    // with base only
  std::unique_ptr<AttributeIndex> attributes;  // null: not loaded
  uint32_t dead_since_base = 0;                // positions
  uint64_t version = 0;                        // counts what changes the passages or attributes
  absl::Time last_death = absl::InfinitePast();
  // How much of it the file of vectors has (vector_file.h): slots from the first on, and bytes.
  size_t slots_in_file = 0;
  uint64_t file_end = 0;

 private:
  struct Passing {
    std::string filter;
    uint64_t version = 0;
    std::shared_ptr<const PositionSet> positions;
  };

  [[nodiscard]] IndexMatch MatchAt(uint32_t position, double score) const;

  mutable std::mutex passing_mutex_;
  mutable std::vector<Passing> passing_;  // the last asked first
};

// The places that a cache was worked out for: contents in order, with their numbers of sub-passages.
struct CachedPlace {
  int64_t content = 0;  // 0: deleted, and nothing of it in the cache
  uint32_t count = 0;
  uint32_t unused = 0;  // no hole whose bytes would be anyone's
};
[[nodiscard]] std::vector<CachedPlace> PlacesOf(const StoreIndex& index, uint32_t positions);
[[nodiscard]] uint64_t Positions(const std::vector<CachedPlace>& places);

}  // namespace carrel::retrieval
