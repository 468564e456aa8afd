#include "retrieval/fusion.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"

namespace carrel::retrieval {

std::vector<FusedItem> Fuse(const std::vector<RankedList>& lists, uint32_t k) {
  absl::flat_hash_map<int64_t, double> sums;
  double best = 0;
  for (const RankedList& list : lists) {
    if (list.weight <= 0) continue;
    if (!list.instead_of_previous) best += list.weight / (k + 1.0);
    for (size_t i = 0; i < list.ids.size(); ++i) {
      sums[list.ids[i]] += list.weight / (static_cast<double>(k) + static_cast<double>(i) + 1);
    }
  }
  std::vector<FusedItem> out;
  out.reserve(sums.size());
  for (const auto& [id, sum] : sums) out.push_back({.id = id, .score = std::min(1.0, sum / best)});
  std::sort(out.begin(), out.end(), [](const FusedItem& a, const FusedItem& b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
  });
  return out;
}

}  // namespace carrel::retrieval
