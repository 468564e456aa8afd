#include "retrieval/vector_index.h"

#include <faiss/IndexFlat.h>
#include <faiss/impl/IDSelector.h>

#include <algorithm>

namespace carrel::retrieval {

// FAISS numbers vectors by position; ids and groups stand beside at the same positions. A removal moves the later ones
// up in the same order on both sides.
struct VectorIndex::Impl {
  explicit Impl(uint32_t dimensions) : index(dimensions) {}
  faiss::IndexFlatIP index;
  std::vector<int64_t> ids;
  std::vector<int64_t> groups;
};

namespace {

template <typename Predicate>
std::vector<uint8_t> Bitmap(const std::vector<int64_t>& groups, Predicate in) {
  std::vector<uint8_t> bits((groups.size() + 7) / 8, 0);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (in(groups[i])) bits[i / 8] = static_cast<uint8_t>(bits[i / 8] | 1u << (i % 8));
  }
  return bits;
}

}  // namespace

VectorIndex::VectorIndex(uint32_t dimensions) : impl_(std::make_unique<Impl>(dimensions)) {}
VectorIndex::~VectorIndex() = default;

void VectorIndex::Add(int64_t id, int64_t group, std::span<const float> vector) {
  impl_->index.add(1, vector.data());
  impl_->ids.push_back(id);
  impl_->groups.push_back(group);
}

void VectorIndex::RemoveGroup(int64_t group) {
  const std::vector<uint8_t> bits = Bitmap(impl_->groups, [&](int64_t g) { return g == group; });
  const faiss::IDSelectorBitmap selector(impl_->groups.size(), bits.data());
  impl_->index.remove_ids(selector);
  size_t kept = 0;
  for (size_t i = 0; i < impl_->groups.size(); ++i) {
    if (impl_->groups[i] == group) continue;
    impl_->ids[kept] = impl_->ids[i];
    impl_->groups[kept++] = impl_->groups[i];
  }
  impl_->ids.resize(kept);
  impl_->groups.resize(kept);
}

size_t VectorIndex::size() const { return impl_->ids.size(); }

std::vector<VectorMatch> VectorIndex::Search(std::span<const float> query, size_t count,
                                             const absl::flat_hash_set<int64_t>* groups) const {
  count = std::min(count, size());
  if (count == 0) return {};
  std::vector<float> scores(count);
  std::vector<faiss::Index::idx_t> positions(count);
  std::vector<uint8_t> bits;
  if (groups != nullptr) bits = Bitmap(impl_->groups, [&](int64_t g) { return groups->contains(g); });
  faiss::IDSelectorBitmap selector(impl_->groups.size(), bits.data());
  faiss::SearchParameters parameters;
  parameters.sel = &selector;
  impl_->index.search(1, query.data(), static_cast<faiss::Index::idx_t>(count), scores.data(), positions.data(),
                      groups != nullptr ? &parameters : nullptr);
  std::vector<VectorMatch> out;
  for (size_t i = 0; i < count && positions[i] >= 0; ++i) {
    out.push_back({.id = impl_->ids[static_cast<size_t>(positions[i])], .cosine = scores[i]});
  }
  return out;
}

}  // namespace carrel::retrieval
