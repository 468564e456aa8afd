// Which passages have which terms, ranked by BM25: the keyword leg of large stores.
//
// Postings is immutable and holds the positions [0, positions()); PostingsTail takes what came after, and is made part
// of the next Postings. SearchPostings asks both as one: document frequencies are of both, lengths are judged by the
// average of the Postings (so that the highest score of each block, known when they are made, stays right).
//
// A term counts kHeadingWeight times where it stands in a heading. The formula is that of SQLite's FTS5 (k1 1.2, b
// 0.75), so that a store's ranking does not change when it grows from one to the other.
//
// Algorithm: MaxScore (Turtle and Flood, "Query evaluation: strategies and optimizations", 1995) in windows of
// positions, with the bounds of the blocks there (block-max, after Ding and Suel, 2011): the k best exactly. Passages
// that have only terms which together cannot reach the k best are not looked at. Questions have many words; for 18 of
// them it takes half of the time of block-max WAND, which keeps its terms sorted at every step.
//
// Thread-safety: Postings may be read from any thread; PostingsTail is locked by its owner.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "retrieval/position_set.h"

namespace carrel::retrieval {

class CacheReader;
class CacheWriter;

struct TermScore {
  uint32_t position = 0;
  float bm25 = 0;
};

class Postings final {
 public:
  // At most 128 postings, whose positions lie within 65 536.
  struct Block {
    uint32_t base = 0;   // the first position
    uint32_t first = 0;  // index of its postings
    uint16_t span = 0;   // the last position is base + span
    uint16_t count = 0;
    float impact = 0;  // the highest score of its postings, but for the term's weight
  };

  // Takes passages in the order of their positions.
  class Builder final {
   public:
    Builder();
    ~Builder();
    // Terms are separated by single spaces, as JoinTerms gives them. Both empty: a place that is never found.
    void Add(std::string_view heading_terms, std::string_view body_terms);
    [[nodiscard]] std::shared_ptr<const Postings> Finish();

   private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
  };

  [[nodiscard]] absl::Status Write(CacheWriter& out) const;
  // DATA_LOSS: it does not fit together. Every index in it is checked: what is read can be searched, whatever it says.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<const Postings>> Read(CacheReader& in);

  // The same without what stands at `gone` (of at least positions()), which stay as places that are never found, and
  // without the terms that nothing else had. Scores stay what they were but for the frequencies.
  [[nodiscard]] std::shared_ptr<const Postings> Without(const PositionSet& gone) const;

  [[nodiscard]] uint32_t positions() const { return static_cast<uint32_t>(norms_.size()); }
  [[nodiscard]] uint32_t Frequency(std::string_view term) const;  // passages that have it
  [[nodiscard]] double average_length() const { return average_length_; }
  [[nodiscard]] size_t bytes() const;

 private:
  friend class PostingsSearch;
  struct Term {
    uint32_t name_end = 0;     // its name begins where the one before ends
    uint32_t first_block = 0;  // its blocks end where those of the next begin
    uint32_t frequency = 0;
    float impact = 0;  // the highest of its blocks
  };

  Postings() = default;
  // Appends a term after those before it in the alphabet: its positions, ascending, and how often it stands there.
  void AddTerm(std::string_view name, std::span<const uint32_t> positions, std::span<const uint8_t> counts);
  [[nodiscard]] int64_t Find(std::string_view term) const;  // -1: not there
  [[nodiscard]] std::string_view Name(size_t term) const;
  [[nodiscard]] absl::Status Check() const;

  double average_length_ = 1;
  std::vector<char> names_;  // sorted
  std::vector<Term> terms_;
  std::vector<Block> blocks_;
  std::vector<uint16_t> offsets_;  // of a posting's position from its block's base
  std::vector<uint8_t> counts_;    // how often, headings weighted, at most 255
  std::vector<float> norms_;       // by position: k1 (1 - b + b length / average)
};

class PostingsTail final {
 public:
  // Positions follow `base` (null: from 0).
  explicit PostingsTail(const Postings* base);
  void Add(std::string_view heading_terms, std::string_view body_terms);
  [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(norms_.size()); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  friend class PostingsSearch;
  struct Posting {
    uint32_t offset = 0;  // from the first position
    uint8_t count = 0;
  };
  uint32_t first_;
  double average_length_;
  size_t bytes_ = 0;
  absl::flat_hash_map<std::string, std::vector<Posting>> terms_;
  std::vector<float> norms_;
};

// The best `count` passages for the terms (distinct; the 64 rarest of more), best first, equal ones by position.
// `allowed` null: all; else it covers the positions of both.
[[nodiscard]] std::vector<TermScore> SearchPostings(const Postings& base, const PostingsTail& tail,
                                                    std::span<const std::string> terms, size_t count,
                                                    const PositionSet* allowed);

}  // namespace carrel::retrieval
