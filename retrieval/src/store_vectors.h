// The vector index of each store, in memory, loaded at its first search and kept in step with the records.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "database.h"
#include "retrieval/vector_index.h"

namespace carrel::retrieval {

struct StoreVectors {
  explicit StoreVectors(uint32_t dimensions) : index(dimensions) {}
  std::shared_mutex mutex;  // shared to search, exclusive to change
  VectorIndex index;
};

// Thread-safe. What changes a store is called with the writer held, after the commit.
class VectorRegistry final {
 public:
  explicit VectorRegistry(Database& database) : database_(database) {}

  // Loads it when it is not there, holding the writer meanwhile so that nothing is missed.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<StoreVectors>> Get(int64_t store, uint32_t dimensions);
  [[nodiscard]] absl::Status ContentAdded(Connection& writer, int64_t store, int64_t content);
  void ContentRemoved(int64_t store, int64_t content);
  void StoreRemoved(int64_t store);

 private:
  std::shared_ptr<StoreVectors> Find(int64_t store);

  Database& database_;
  std::mutex mutex_;
  absl::flat_hash_map<int64_t, std::shared_ptr<StoreVectors>> stores_;
};

}  // namespace carrel::retrieval
