// Which documents of a store pass a filter, without looking at each: for every key, the documents by value.
//
// The same answer as Holds() for every document (filter.h says what a comparison means). A changed document takes a new
// place and leaves its old one dead; the owner makes the index anew when half of it is dead.
// Thread-safety: none; the owner locks (Matching may be called by many at once).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "retrieval/filter.h"
#include "retrieval/position_set.h"
#include "retrieval/types.h"

namespace carrel::retrieval {

class AttributeIndex final {
 public:
  // `document` has these attributes now, and its text is that of `content`.
  void Put(int64_t document, int64_t content, const Attributes& attributes);
  void Remove(int64_t document);

  // The contents of the documents that pass, each at least once.
  template <typename Visit>
  void ForEachContent(const Filter& filter, Visit visit) const {
    PositionSet matching = Matching(filter);
    matching.IntersectWith(live_);
    matching.ForEach([&](uint32_t place) { visit(contents_[place]); });
  }

  [[nodiscard]] size_t documents() const { return places_.size(); }
  [[nodiscard]] bool mostly_dead() const { return contents_.size() > 2 * places_.size() + 1024; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  // Ordered as AttributeValue is: by kind, then by value.
  using Column = std::map<AttributeValue, std::vector<uint32_t>>;

  [[nodiscard]] PositionSet Matching(const Filter& filter) const;
  [[nodiscard]] PositionSet MatchingComparison(const Comparison& comparison) const;

  std::vector<int64_t> contents_;  // by place
  PositionSet live_;
  absl::flat_hash_map<int64_t, uint32_t> places_;  // by document
  absl::flat_hash_map<std::string, Column> columns_;
  size_t bytes_ = 0;
};

}  // namespace carrel::retrieval
