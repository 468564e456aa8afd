// Weighted reciprocal rank fusion: many ranked lists to one.
#pragma once

#include <cstdint>
#include <vector>

namespace carrel::retrieval {

// One leg's answer to one query, best first, each id at most once.
struct RankedList {
  double weight = 1;
  std::vector<int64_t> ids;
  // An item is in this list or in the one before, never in both: two models that each know some of the items. Both
  // rank with their full weight, and being first in one of them is all that an item can be.
  bool instead_of_previous = false;
};

struct FusedItem {
  int64_t id = 0;
  // The sum of weight / (k + rank) over the lists, divided by what an item that is first in all of them would have: 0
  // to 1, and 1 only for that one. It is of ranks alone: the best of anything has a high one, whether it answers or
  // not, so that a search scales it (searcher.cc, Calibration in embedder.h).
  double score = 0;
};

// Best first; equal scores in the order of the ids. Lists of weight 0 are left out.
[[nodiscard]] std::vector<FusedItem> Fuse(const std::vector<RankedList>& lists, uint32_t k);

}  // namespace carrel::retrieval
