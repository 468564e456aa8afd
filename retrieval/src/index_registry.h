// The indexes of the stores that are searched: loaded at the first search, kept in step, dropped when memory is short,
// and made faster in the background when they have grown.
//
// Files: <directory>/<store>.vectors (vector_file.h), <store>.cells (which cell each vector is in) and <store>.terms
// (the postings), each a cache that is checked and made anew. Deleting a text from a store removes its .terms and
// overwrites its vectors at once, so that nothing deleted stays on disk.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "database.h"
#include "retrieval/types.h"
#include "store_index.h"

namespace carrel::retrieval {

struct IndexOptions {
  std::string directory;            // made if it is not there
  uint64_t bytes_max = 4ull << 30;  // of all indexes; the one in use may be larger
  uint32_t threads_max = 1;         // that work in the background takes
  IndexThresholds thresholds;
};

// Thread-safe. `database` must outlive it.
class IndexRegistry final {
 public:
  IndexRegistry(Database& database, IndexOptions options);
  ~IndexRegistry();  // the background work is cut short
  IndexRegistry(const IndexRegistry&) = delete;
  IndexRegistry& operator=(const IndexRegistry&) = delete;

  // Removes files of stores that are gone, and postings with contents that are: what an ended process left.
  [[nodiscard]] absl::Status Sweep();

  // Loads it when it is not there; whoever wants it meanwhile waits for the same loading.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<StoreIndex>> Get(int64_t store, bool with_attributes);

  // Commits what makes a content findable in these stores. Whoever sees then that it is completed finds it.
  [[nodiscard]] absl::Status CommitContent(Connection& writer, Transaction& transaction,
                                           std::span<const int64_t> stores, int64_t content);
  // What changed, told after the commit with the writer held. An index that cannot follow is dropped, and loaded anew
  // by the next search.
  void ContentRemoved(int64_t store, int64_t content);
  void DocumentChanged(int64_t store, int64_t document, int64_t content, const Attributes& attributes);
  void DocumentRemoved(int64_t store, int64_t document);
  // Also when its contents were all replaced.
  void StoreRemoved(int64_t store);

  // Until there is nothing left to do in the background. For tests and benchmarks.
  void WaitForBackground();
  [[nodiscard]] uint64_t bytes();
  [[nodiscard]] size_t loaded();

 private:
  static constexpr char kCells[] = "cells";
  static constexpr char kTerms[] = "terms";
  static constexpr char kVectors[] = "vectors";

  // A change that an index on its way must not miss.
  struct Change {
    enum class Kind : uint8_t { kContentAdded, kContentRemoved, kDocumentChanged, kDocumentRemoved } kind;
    int64_t content = 0;
    int64_t document = 0;
    Attributes attributes;
  };
  struct Entry {
    std::shared_ptr<StoreIndex> index;  // null while it is loaded for the first time
    bool loading = false;               // by a search, or anew by the background
    std::vector<Change> pending;        // since the loading began
    uint64_t used = 0;                  // when, in searches
    uint64_t number = 0;                // tells it from one that the store had before; 0: not loaded yet
  };

  [[nodiscard]] absl::StatusOr<std::shared_ptr<StoreIndex>> LoadEntry(int64_t store,
                                                                      std::unique_lock<std::mutex>& lock);
  [[nodiscard]] absl::StatusOr<std::shared_ptr<StoreIndex>> Load(int64_t store);
  [[nodiscard]] absl::Status LoadAttributes(int64_t store, StoreIndex& index);
  [[nodiscard]] absl::Status Apply(Connection* db, const Change& change, StoreIndex& index);
  void ContentComing(Connection& writer, int64_t store, int64_t content);
  void ContentAdded(Connection& writer, int64_t store, int64_t content);
  // Drops an index that cannot follow.
  void ApplyOrDrop(Connection* writer, int64_t store, const Change& change, StoreIndex& index);
  void Tell(Connection* writer, int64_t store, Change change);
  void Evict(int64_t keep);
  [[nodiscard]] std::string Path(int64_t store, const char* what) const;
  void RemoveFiles(int64_t store);

  void Work();
  // One piece of work on one store; false: there was nothing to do, or it could not be done.
  [[nodiscard]] bool WorkOn(int64_t store, const std::shared_ptr<StoreIndex>& index);
  // Loads a store that has grown large without being searched, as the first to be dropped again.
  void Prepare(int64_t store);
  [[nodiscard]] bool FileVectors(int64_t store, const std::shared_ptr<StoreIndex>& index);
  [[nodiscard]] bool MakeLists(int64_t store, StoreIndex& index, bool anew);
  [[nodiscard]] bool MakePostings(int64_t store, StoreIndex& index);
  [[nodiscard]] bool PurgePostings(int64_t store, StoreIndex& index);
  void LoadAnew(int64_t store);
  [[nodiscard]] absl::Status WriteLists(int64_t store, const StoreIndex& index, const VectorLists& lists);
  void WritePostings(int64_t store, StoreIndex& index);
  bool stopping();

  Database& database_;
  const IndexOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::flat_hash_map<int64_t, Entry> stores_;
  absl::flat_hash_map<int64_t, uint64_t> grown_;  // stores that are not here, and the positions that they got meanwhile
  std::vector<int64_t> wanted_;                   // by the background
  uint64_t searches_ = 0;
  uint64_t entries_ = 0;
  uint64_t wakes_ = 1;
  uint64_t seen_ = 0;  // of wakes_, by the background
  bool idle_ = false;
  bool later_ = false;  // there is work that is to wait a while
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace carrel::retrieval
