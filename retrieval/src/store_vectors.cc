#include "store_vectors.h"

#include <vector>

#include "contents.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

absl::Status AddContent(Connection& db, int64_t content, StoreVectors& vectors) {
  return ReadVectors(db, content,
                     [&](int64_t row, std::span<const float> vector) { vectors.index.Add(row, content, vector); });
}

}  // namespace

std::shared_ptr<StoreVectors> VectorRegistry::Find(int64_t store) {
  const std::lock_guard lock(mutex_);
  const auto found = stores_.find(store);
  return found == stores_.end() ? nullptr : found->second;
}

absl::StatusOr<std::shared_ptr<StoreVectors>> VectorRegistry::Get(int64_t store, uint32_t dimensions) {
  if (std::shared_ptr<StoreVectors> found = Find(store)) return found;
  const Database::Writer writer = database_.Write();
  if (std::shared_ptr<StoreVectors> found = Find(store)) return found;
  auto vectors = std::make_shared<StoreVectors>(dimensions);
  std::vector<int64_t> contents;
  {
    Statement q(*writer, "SELECT content FROM indexed WHERE store = ?1", store);
    while (q.Step()) contents.push_back(q.Int(0));
    if (!q.ok()) return q.status();
  }
  for (const int64_t content : contents) RETURN_IF_ERROR(AddContent(*writer, content, *vectors));
  const std::lock_guard lock(mutex_);
  stores_[store] = vectors;
  return vectors;
}

absl::Status VectorRegistry::ContentAdded(Connection& writer, int64_t store, int64_t content) {
  const std::shared_ptr<StoreVectors> vectors = Find(store);
  if (vectors == nullptr) return absl::OkStatus();
  const std::unique_lock lock(vectors->mutex);
  return AddContent(writer, content, *vectors);
}

void VectorRegistry::ContentRemoved(int64_t store, int64_t content) {
  const std::shared_ptr<StoreVectors> vectors = Find(store);
  if (vectors == nullptr) return;
  const std::unique_lock lock(vectors->mutex);
  vectors->index.RemoveGroup(content);
}

void VectorRegistry::StoreRemoved(int64_t store) {
  const std::lock_guard lock(mutex_);
  stores_.erase(store);
}

}  // namespace carrel::retrieval
