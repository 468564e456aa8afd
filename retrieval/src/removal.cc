#include "removal.h"

#include "contents.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

absl::Status Purge(Connection& db, int64_t content, Removal& removal) {
  ASSIGN_OR_RETURN(std::string sha256, PurgeContent(db, content));
  removal.purged.push_back(content);
  if (!sha256.empty()) removal.blobs.push_back(std::move(sha256));
  return absl::OkStatus();
}

absl::StatusOr<bool> Any(Statement& q) {
  const bool found = q.Step();
  if (!q.ok()) return q.status();
  return found;
}

}  // namespace

absl::Status ReleaseContent(Connection& db, int64_t store, int64_t content, Removal& removal) {
  bool in_store = false, anywhere = false;
  {
    Statement q(db, "SELECT store = ?2 FROM documents WHERE content = ?1", content, store);
    while (q.Step()) {
      anywhere = true;
      in_store = in_store || q.Int(0) != 0;
    }
    if (!q.ok()) return q.status();
  }
  if (!in_store) {
    RETURN_IF_ERROR(UnindexContent(db, store, content));
    removal.unindexed.emplace_back(store, content);
  }
  if (anywhere) return absl::OkStatus();
  {
    Statement q(db, "SELECT 1 FROM documents WHERE next_content = ?1 LIMIT 1", content);
    ASSIGN_OR_RETURN(anywhere, Any(q));
  }
  return anywhere ? absl::OkStatus() : Purge(db, content, removal);
}

absl::Status RemoveStoreRecords(Connection& db, int64_t store, Removal& removal) {
  std::vector<int64_t> contents;
  {
    Statement q(db,
                "SELECT content FROM documents WHERE store = ?1 UNION SELECT next_content FROM documents WHERE "
                "store = ?1 AND next_content IS NOT NULL",
                store);
    while (q.Step()) contents.push_back(q.Int(0));
    if (!q.ok()) return q.status();
  }
  // The whole index goes at once; its entries need not be taken out one by one.
  RETURN_IF_ERROR(DropTermIndex(db, store));
  RETURN_IF_ERROR(RunSql(db, "DELETE FROM indexed WHERE store = ?1", store));
  RETURN_IF_ERROR(RunSql(db, "DELETE FROM documents WHERE store = ?1", store));
  for (const int64_t content : contents) RETURN_IF_ERROR(ReleaseContent(db, store, content, removal));
  return RunSql(db, "DELETE FROM stores WHERE row = ?1", store);
}

absl::StatusOr<bool> ReleaseOrphans(Connection& db, uint32_t count, Removal& removal) {
  std::vector<int64_t> orphans;
  {
    Statement q(
        db,
        "SELECT row FROM contents c WHERE NOT EXISTS(SELECT 1 FROM documents d WHERE d.content = c.row) AND NOT "
        "EXISTS(SELECT 1 FROM documents d WHERE d.next_content = c.row) LIMIT ?1",
        count);
    while (q.Step()) orphans.push_back(q.Int(0));
    if (!q.ok()) return q.status();
  }
  for (const int64_t content : orphans) RETURN_IF_ERROR(Purge(db, content, removal));
  return !orphans.empty();
}

absl::StatusOr<bool> BlobIsNeeded(Connection& db, const std::string& sha256) {
  Statement q(db, "SELECT 1 FROM contents WHERE sha256 = ?1 LIMIT 1", sha256);
  return Any(q);
}

}  // namespace carrel::retrieval
