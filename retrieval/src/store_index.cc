#include "store_index.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "contents.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

constexpr size_t kPassingMax = 8;  // filters whose positions are kept, 125 KB each of a million

}  // namespace

absl::Status StoreIndex::AddContent(Connection& db, int64_t content) {
  if (slot_of.contains(content)) return absl::OkStatus();
  ++version;
  const uint32_t begin = size();
  absl::Status status;
  RETURN_IF_ERROR(ReadVectors(db, content, [&](const SubPassagePlace& place, std::span<const float> vector) {
    if (vectors == nullptr) vectors = std::make_unique<VectorIndex>(static_cast<uint32_t>(vector.size()));
    if (vector.size() != vectors->dimensions()) {
      status = absl::FailedPreconditionError(absl::StrCat("vectors of ", vector.size(), " numbers in a store of ",
                                                          vectors->dimensions(), ": embed the store anew"));
      return;
    }
    vectors->Add(vector);
    places.push_back(place);
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

absl::Status StoreIndex::ReadSlotTerms(
    Connection& db, const Slot& slot,
    const std::function<void(std::string_view heading, std::string_view body)>& take) {
  uint32_t added = 0;
  if (slot.alive) {
    RETURN_IF_ERROR(ReadTerms(db, slot.content, [&](std::string_view heading, std::string_view body) {
      if (added++ < slot.end - slot.begin) take(heading, body);
    }));
  }
  for (; added < slot.end - slot.begin; ++added) take("", "");
  return absl::OkStatus();
}

absl::Status StoreIndex::FillTail(Connection& db) {
  tail = std::make_unique<PostingsTail>(base.get());
  for (const Slot& slot : slots) {
    if (slot.begin < base->positions()) continue;
    RETURN_IF_ERROR(ReadSlotTerms(db, slot, [this](auto heading, auto body) { tail->Add(heading, body); }));
  }
  return absl::OkStatus();
}

absl::Status StoreIndex::EnsureBase(Connection& db) {
  if (base != nullptr || in_records) return absl::OkStatus();
  Postings::Builder builder;
  for (const Slot& slot : slots) {
    RETURN_IF_ERROR(ReadSlotTerms(db, slot, [&](auto heading, auto body) { builder.Add(heading, body); }));
  }
  base = builder.Finish();
  base_in_file = false;
  tail = std::make_unique<PostingsTail>(base.get());
  dead_since_base = 0;
  return absl::OkStatus();
}

void StoreIndex::AddDead(int64_t content, uint32_t count) {
  const uint32_t begin = size();
  for (uint32_t i = 0; i < count; ++i) vectors->Add({});
  places.resize(places.size() + count);
  slots.push_back({.content = content, .begin = begin, .end = size(), .alive = false});
  live.Resize(size());
}

void StoreIndex::RemoveContent(int64_t content) {
  const auto found = slot_of.find(content);
  if (found == slot_of.end()) return;
  Slot& slot = slots[found->second];
  slot.alive = false;
  ++version;
  live.RemoveRange(slot.begin, slot.end);
  dead_since_base += slot.end - slot.begin;
  last_death = absl::Now();
  slot_of.erase(found);
}

StoreIndex::Allowed StoreIndex::AllowedBy(const std::optional<Filter>& filter) const {
  Allowed out;
  if (!filter) {
    if (dead() > 0) out.set_ = &live;
    return out;
  }
  std::string key = FilterKey(*filter);
  {
    const std::lock_guard lock(passing_mutex_);
    std::erase_if(passing_, [this](const Passing& one) { return one.version != version; });
    const auto known =
        std::find_if(passing_.begin(), passing_.end(), [&](const Passing& one) { return one.filter == key; });
    if (known != passing_.end()) {
      std::rotate(passing_.begin(), known, known + 1);
      out.made_ = passing_.front().positions;
      out.set_ = out.made_.get();
      return out;
    }
  }
  auto made = std::make_shared<PositionSet>(size());
  attributes->ForEachContent(*filter, [&](int64_t content) {
    const auto found = slot_of.find(content);
    if (found == slot_of.end()) return;
    made->AddRange(slots[found->second].begin, slots[found->second].end);
  });
  out.made_ = std::move(made);
  out.set_ = out.made_.get();
  const std::lock_guard lock(passing_mutex_);
  passing_.insert(passing_.begin(), {.filter = std::move(key), .version = version, .positions = out.made_});
  if (passing_.size() > kPassingMax) passing_.pop_back();
  return out;
}

RowSet StoreIndex::ContentsAllowedBy(const Filter& filter) const {
  RowSet out;
  attributes->ForEachContent(filter, [&](int64_t content) { out.insert(content); });
  return out;
}

IndexMatch StoreIndex::MatchAt(uint32_t position, double score) const {
  const auto after = std::upper_bound(slots.begin(), slots.end(), position,
                                      [](uint32_t wanted, const Slot& slot) { return wanted < slot.begin; });
  return {.position = position, .content = std::prev(after)->content, .place = places[position], .score = score};
}

absl::StatusOr<std::vector<IndexMatch>> StoreIndex::SearchVectors(std::span<const float> query, size_t count,
                                                                  const Allowed& allowed) const {
  std::vector<IndexMatch> out;
  if (vectors == nullptr) return out;
  if (query.size() != vectors->dimensions()) {
    return absl::FailedPreconditionError(absl::StrCat("the model gives vectors of ", query.size(),
                                                      " numbers, the store has such of ", vectors->dimensions(),
                                                      ": embed the store anew"));
  }
  for (const VectorMatch& match : vectors->Search(query, count, allowed.get())) {
    out.push_back(MatchAt(match.position, match.cosine));
  }
  return out;
}

std::optional<std::vector<IndexMatch>> StoreIndex::SearchTerms(const std::vector<std::string>& terms, size_t count,
                                                               const Allowed& allowed) const {
  if (base == nullptr) return std::nullopt;
  std::vector<IndexMatch> out;
  for (const TermScore& match : SearchPostings(*base, *tail, terms, count, allowed.get())) {
    out.push_back(MatchAt(match.position, match.bm25));
  }
  return out;
}

std::optional<uint32_t> StoreIndex::PositionOf(int64_t content, int64_t sub_passage) const {
  const auto found = slot_of.find(content);
  if (found == slot_of.end()) return std::nullopt;
  const Slot& slot = slots[found->second];
  const auto begin = places.begin() + slot.begin, end = places.begin() + slot.end;
  const auto place =
      std::lower_bound(begin, end, sub_passage, [](const SubPassagePlace& p, int64_t row) { return p.row < row; });
  if (place == end || place->row != sub_passage) return std::nullopt;
  return static_cast<uint32_t>(place - places.begin());
}

size_t StoreIndex::bytes() const {
  return places.size() * sizeof(SubPassagePlace) + slots.size() * (sizeof(Slot) + 24) +
         (1 + kPassingMax) * live.size() / 8 + (vectors == nullptr ? 0 : vectors->bytes()) +
         (base == nullptr ? 0 : base->bytes() + tail->bytes()) + (attributes == nullptr ? 0 : attributes->bytes());
}

std::vector<CachedPlace> PlacesOf(const StoreIndex& index, uint32_t positions) {
  std::vector<CachedPlace> out;
  for (const StoreIndex::Slot& slot : index.slots) {
    if (slot.end > positions) break;
    out.push_back({.content = slot.alive ? slot.content : 0, .count = slot.end - slot.begin});
  }
  return out;
}

uint64_t Positions(const std::vector<CachedPlace>& places) {
  uint64_t sum = 0;
  for (const CachedPlace& place : places) sum += place.count;
  return sum;
}

}  // namespace carrel::retrieval
