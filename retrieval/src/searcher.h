// Answers a search: two legs, fused by enclosing passage, merged, and cited.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "database.h"
#include "index_registry.h"
#include "records.h"
#include "retrieval/embedder.h"
#include "retrieval/search.h"

namespace carrel::retrieval {

// References must outlive it. Thread-safe.
class Searcher final {
 public:
  Searcher(Database& database, IndexRegistry& indexes, std::vector<Embedder*> embedders)
      : database_(database), indexes_(indexes), embedders_(std::move(embedders)) {}

  // `stores` are query.store_ids, found. FAILED_PRECONDITION: a store's model is not loaded.
  [[nodiscard]] absl::StatusOr<SearchAnswer> Search(const SearchQuery& query, const std::vector<StoreRow>& stores);

 private:
  Database& database_;
  IndexRegistry& indexes_;
  const std::vector<Embedder*> embedders_;
};

}  // namespace carrel::retrieval
