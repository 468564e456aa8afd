// Nearest neighbours of unit vectors by cosine. vector_index.cc is the one file that knows FAISS.
//
// Vectors stand in half precision (FAISS's fp16 codes; the order of cosines is kept but for near ties) in blocks, by
// position. A scan of all of them is exact. VectorLists makes large indexes fast: k-means cells, each with the
// positions of its vectors; a search looks into the cells nearest to the question, and scans exactly what no cell has
// yet. Cells hold positions, not vectors: one copy of the vectors serves both, and what is kept on disk of them is
// small.
//
// Nothing is removed: what is deleted is left out of the set of allowed positions, until the owner makes the index
// anew. Thread-safety: none; the owner locks (searches may share). VectorLists is immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "retrieval/position_set.h"

namespace carrel::retrieval {

// How FAISS was built: "AVX2", or "SSE" for Debian's package.
[[nodiscard]] std::string_view VectorInstructions();
// FAILED_PRECONDITION: this program was built for instructions that this processor lacks.
[[nodiscard]] absl::Status CheckVectorInstructions();

struct VectorMatch {
  uint32_t position = 0;
  float cosine = 0;
};

class VectorLists final {
 public:
  // What is on disk of one.
  struct Parts {
    uint32_t dimensions = 0;
    uint32_t probes = 1;            // cells that a search looks into
    uint32_t probed = 0;            // vectors that there were when that was measured
    std::vector<float> centroids;   // cells x dimensions
    std::vector<uint16_t> cell_of;  // by position, from 0
  };

  ~VectorLists();
  // Cells that suit an index of `size` vectors.
  [[nodiscard]] static uint32_t CellsFor(uint32_t size);
  // k-means over `sample` (whole vectors, at least one a cell), on at most `threads_max` threads. Without positions.
  [[nodiscard]] static std::shared_ptr<const VectorLists> Train(std::span<const float> sample, uint32_t dimensions,
                                                                uint32_t cells, uint32_t threads_max);
  // DATA_LOSS: they do not fit together.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<const VectorLists>> FromParts(Parts parts);
  [[nodiscard]] const Parts& parts() const;

  // The same with the vectors that follow; and with another number of probes.
  [[nodiscard]] std::shared_ptr<const VectorLists> With(std::span<const float> more) const;
  [[nodiscard]] std::shared_ptr<const VectorLists> WithProbes(uint32_t probes) const;  // measured now

  [[nodiscard]] uint32_t cells() const;
  [[nodiscard]] uint32_t listed() const;  // positions from 0 that are in cells
  [[nodiscard]] size_t bytes() const;

 private:
  friend class VectorIndex;
  struct Impl;
  explicit VectorLists(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class VectorIndex final {
 public:
  explicit VectorIndex(uint32_t dimensions);
  ~VectorIndex();
  VectorIndex(const VectorIndex&) = delete;
  VectorIndex& operator=(const VectorIndex&) = delete;

  [[nodiscard]] uint32_t dimensions() const;
  // At position size(). `dimensions` numbers of unit length; empty: a place that nothing is found at.
  void Add(std::span<const float> vector);
  [[nodiscard]] uint32_t size() const;
  [[nodiscard]] size_t bytes() const;
  // Vectors as they are kept, for who writes them down: bytes of one; at most `most` new places for the caller to fill
  // at once (call again for the rest); and those from `begin`, before `end`, that lie together.
  [[nodiscard]] size_t code_size() const;
  [[nodiscard]] std::span<uint8_t> AddCodes(uint32_t most);
  [[nodiscard]] std::span<const uint8_t> Codes(uint32_t begin, uint32_t end) const;
  // The vectors at [begin, end), one after the other, as they are kept.
  [[nodiscard]] std::vector<float> Read(uint32_t begin, uint32_t end) const;

  void Install(std::shared_ptr<const VectorLists> lists);
  [[nodiscard]] const std::shared_ptr<const VectorLists>& lists() const;

  // The best `count`, best first; equal ones by position. `allowed` null: all; else of size size().
  [[nodiscard]] std::vector<VectorMatch> Search(std::span<const float> query, size_t count,
                                                const PositionSet* allowed) const;
  // As Search, by a scan of all.
  [[nodiscard]] std::vector<VectorMatch> SearchExactly(std::span<const float> query, size_t count,
                                                       const PositionSet* allowed) const;
  // Of the vectors at these positions, in this order.
  [[nodiscard]] std::vector<float> Cosines(std::span<const float> query, std::span<const uint32_t> positions) const;
  // As Search by `lists`, installed or not.
  [[nodiscard]] std::vector<VectorMatch> SearchLists(const VectorLists& lists, std::span<const float> query,
                                                     size_t count, const PositionSet* allowed) const;

 private:
  struct Impl;
  class Looker;
  std::unique_ptr<Impl> impl_;
};

// The fewest cells to look into with which vectors of the index find nearly all of their thirty true neighbours, and
// half as many again, since a question is less like the texts than a text is. `mutex`, if there is one, is held shared
// for each look.
[[nodiscard]] uint32_t ProbesFor(const VectorIndex& index, const VectorLists& lists, std::shared_mutex* mutex);

}  // namespace carrel::retrieval
