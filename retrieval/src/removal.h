// Taking out what no document names any more: first the records, in the caller's transaction, then what stands outside
// of the database.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "database.h"

namespace carrel::retrieval {

// What is to follow the commit.
struct Removal {
  std::vector<std::pair<int64_t, int64_t>> unindexed;  // store and content
  std::vector<int64_t> purged;                         // contents
  std::vector<std::string> blobs;                      // sha256
};

// After a document's record went: takes the content out of the store if no other document of it has it, and off the
// disk if no document anywhere has.
[[nodiscard]] absl::Status ReleaseContent(Connection& db, int64_t store, int64_t content, Removal& removal);
// The store with its documents.
[[nodiscard]] absl::Status RemoveStoreRecords(Connection& db, int64_t store, Removal& removal);
// Contents that a change of model left without a document: at most `count` of them. False: there were none.
[[nodiscard]] absl::StatusOr<bool> ReleaseOrphans(Connection& db, uint32_t count, Removal& removal);
// Whether some content still has these bytes.
[[nodiscard]] absl::StatusOr<bool> BlobIsNeeded(Connection& db, const std::string& sha256);

}  // namespace carrel::retrieval
