// Nearest neighbours of unit vectors by cosine. Its source is the one file that knows FAISS.
//
// Exact (flat f32: Debian's FAISS is built for SSE only, where the half-precision index is twice as slow, 53 against
// 26 ms for 100 000 x 384). A cache: rebuilt from the store's records, never written to disk.
//
// Each vector has an id, and a group (the content that it is of); filters and removal go by group.
// Thread-safety: none; the owner locks (searches may share).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace carrel::retrieval {

struct VectorMatch {
  int64_t id = 0;
  float cosine = 0;
};

class VectorIndex final {
 public:
  explicit VectorIndex(uint32_t dimensions);
  ~VectorIndex();
  VectorIndex(const VectorIndex&) = delete;
  VectorIndex& operator=(const VectorIndex&) = delete;

  // `vector` has `dimensions` numbers and unit length. Ids are distinct.
  void Add(int64_t id, int64_t group, std::span<const float> vector);
  void RemoveGroup(int64_t group);
  [[nodiscard]] size_t size() const;
  // The best `count`, best first. `groups` null: all.
  [[nodiscard]] std::vector<VectorMatch> Search(std::span<const float> query, size_t count,
                                                const absl::flat_hash_set<int64_t>* groups) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace carrel::retrieval
