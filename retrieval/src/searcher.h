// Answers a search: two legs, fused by enclosing passage, merged, and cited.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "database.h"
#include "records.h"
#include "retrieval/embedder.h"
#include "retrieval/search.h"
#include "store_vectors.h"

namespace carrel::retrieval {

// References must outlive it. Thread-safe.
class Searcher final {
 public:
  Searcher(Database& database, VectorRegistry& vectors, std::vector<Embedder*> embedders)
      : database_(database), vectors_(vectors), embedders_(std::move(embedders)) {}

  // `stores` are query.store_ids, found. FAILED_PRECONDITION: a store's model is not loaded.
  [[nodiscard]] absl::StatusOr<SearchAnswer> Search(const SearchQuery& query, const std::vector<StoreRow>& stores);

 private:
  Database& database_;
  VectorRegistry& vectors_;
  const std::vector<Embedder*> embedders_;
};

}  // namespace carrel::retrieval
