#include "store_index.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "contents.h"
#include "status_macros.h"

namespace carrel::retrieval {

absl::Status StoreIndex::AddContent(Connection& db, int64_t content) {
  if (slot_of.contains(content)) return absl::OkStatus();
  const uint32_t begin = size();
  absl::Status status;
  RETURN_IF_ERROR(ReadVectors(db, content, [&](int64_t row, std::span<const float> vector) {
    if (vectors == nullptr) vectors = std::make_unique<VectorIndex>(static_cast<uint32_t>(vector.size()));
    if (vector.size() != vectors->dimensions()) {
      status = absl::FailedPreconditionError(absl::StrCat("vectors of ", vector.size(), " numbers in a store of ",
                                                          vectors->dimensions(), ": embed the store anew"));
      return;
    }
    vectors->Add(vector);
    rows.push_back(row);
  }));
  if (tail != nullptr) {
    RETURN_IF_ERROR(
        ReadTerms(db, content, [&](std::string_view heading, std::string_view body) { tail->Add(heading, body); }));
    // One line of terms for each sub-passage, always; were it not so, positions would no longer meet.
    if (base->positions() + tail->size() != size()) {
      base.reset();
      tail.reset();
    }
  }
  slot_of[content] = static_cast<uint32_t>(slots.size());
  slots.push_back({.content = content, .begin = begin, .end = size()});
  live.Resize(size());
  live.AddRange(begin, size());
  return status;
}

void StoreIndex::AddDead(int64_t content, uint32_t count) {
  const uint32_t begin = size();
  for (uint32_t i = 0; i < count; ++i) vectors->Add({});
  rows.resize(rows.size() + count, 0);
  slots.push_back({.content = content, .begin = begin, .end = size(), .alive = false});
  live.Resize(size());
}

void StoreIndex::RemoveContent(int64_t content) {
  const auto found = slot_of.find(content);
  if (found == slot_of.end()) return;
  Slot& slot = slots[found->second];
  slot.alive = false;
  live.RemoveRange(slot.begin, slot.end);
  dead_since_base += slot.end - slot.begin;
  slot_of.erase(found);
}

StoreIndex::Allowed StoreIndex::AllowedBy(const std::optional<Filter>& filter) const {
  Allowed out;
  if (filter) {
    out.set.emplace(size());
    attributes->ForEachContent(*filter, [&](int64_t content) {
      const auto found = slot_of.find(content);
      if (found == slot_of.end()) return;
      out.set->AddRange(slots[found->second].begin, slots[found->second].end);
    });
  } else if (dead() > 0) {
    out.set = live;
  }
  return out;
}

RowSet StoreIndex::ContentsAllowedBy(const Filter& filter) const {
  RowSet out;
  attributes->ForEachContent(filter, [&](int64_t content) { out.insert(content); });
  return out;
}

absl::StatusOr<std::vector<SubPassageMatch>> StoreIndex::SearchVectors(std::span<const float> query, size_t count,
                                                                       const Allowed& allowed) const {
  std::vector<SubPassageMatch> out;
  if (vectors == nullptr) return out;
  if (query.size() != vectors->dimensions()) {
    return absl::FailedPreconditionError(absl::StrCat("the model gives vectors of ", query.size(),
                                                      " numbers, the store has such of ", vectors->dimensions(),
                                                      ": embed the store anew"));
  }
  for (const VectorMatch& match : vectors->Search(query, count, allowed.get())) {
    out.push_back({.sub_passage = rows[match.position], .score = match.cosine});
  }
  return out;
}

std::optional<std::vector<SubPassageMatch>> StoreIndex::SearchTerms(const std::vector<std::string>& terms, size_t count,
                                                                    const Allowed& allowed) const {
  if (base == nullptr) return std::nullopt;
  std::vector<SubPassageMatch> out;
  for (const TermScore& match : SearchPostings(*base, *tail, terms, count, allowed.get())) {
    out.push_back({.sub_passage = rows[match.position], .score = match.bm25});
  }
  return out;
}

std::optional<uint32_t> StoreIndex::PositionOf(int64_t content, int64_t sub_passage) const {
  const auto found = slot_of.find(content);
  if (found == slot_of.end()) return std::nullopt;
  const Slot& slot = slots[found->second];
  const auto begin = rows.begin() + slot.begin, end = rows.begin() + slot.end;
  const auto row = std::lower_bound(begin, end, sub_passage);
  if (row == end || *row != sub_passage) return std::nullopt;
  return static_cast<uint32_t>(row - rows.begin());
}

size_t StoreIndex::bytes() const {
  return rows.size() * sizeof(int64_t) + slots.size() * (sizeof(Slot) + 24) + live.size() / 8 +
         (vectors == nullptr ? 0 : vectors->bytes()) + (base == nullptr ? 0 : base->bytes() + tail->bytes()) +
         (attributes == nullptr ? 0 : attributes->bytes());
}

std::vector<CachedPlace> PlacesOf(const StoreIndex& index, uint32_t positions) {
  std::vector<CachedPlace> out;
  for (const StoreIndex::Slot& slot : index.slots) {
    if (slot.end > positions) break;
    out.push_back({.content = slot.alive ? slot.content : 0, .count = slot.end - slot.begin});
  }
  return out;
}

}  // namespace carrel::retrieval
