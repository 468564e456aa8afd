#include "reembedding.h"

#include "removal.h"
#include "retrieval/extraction.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

struct OldContent {
  int64_t row = 0;
  ContentState state = ContentState::kQueued;
  std::optional<Verdict> verdict;
  ContentKey key;  // with the old model
  uint64_t size_bytes = 0;
};

absl::StatusOr<std::vector<OldContent>> ContentsOf(Connection& db, int64_t store) {
  std::vector<OldContent> out;
  Statement q(db,
              "SELECT DISTINCT c.row, c.state, c.verdict, c.sha256, c.type, c.max_tokens, c.overlap_tokens, c.model, "
              "c.size_bytes FROM documents d JOIN contents c ON c.row = d.content WHERE d.store = ?1 ORDER BY c.row",
              store);
  while (q.Step()) {
    OldContent old{.row = q.Int(0),
                   .state = static_cast<ContentState>(q.Int(1)),
                   .key = {.sha256 = q.Text(3),
                           .type = static_cast<int>(q.Int(4)),
                           .chunking = {static_cast<uint32_t>(q.Int(5)), static_cast<uint32_t>(q.Int(6))},
                           .model = q.Text(7)},
                   .size_bytes = static_cast<uint64_t>(q.Int(8))};
    if (!q.Null(2)) old.verdict = static_cast<Verdict>(q.Int(2));
    out.push_back(std::move(old));
  }
  if (!q.ok()) return q.status();
  return out;
}

// The row of the content with this key; made if there is none, tried again if it failed in a way that may pass.
absl::StatusOr<int64_t> EnsureContent(Connection& db, const ContentKey& key, uint64_t size_bytes, int64_t now_ms) {
  ASSIGN_OR_RETURN(const std::optional<ContentRow> there, FindContent(db, key));
  if (!there) return InsertContent(db, key, size_bytes, now_ms);
  if (there->state == ContentState::kFailed && WorthAnotherTry(there->verdict)) {
    RETURN_IF_ERROR(RequeueContent(db, there->row, now_ms));
  }
  return there->row;
}

absl::StatusOr<int64_t> NextContentOf(Connection& db, const OldContent& old, const std::string& model, int64_t now_ms) {
  ContentKey key = old.key;
  key.model = model;
  ASSIGN_OR_RETURN(const int64_t next, EnsureContent(db, key, old.size_bytes, now_ms));
  // What cannot be read fails with every model, and has its sentence already.
  if (old.state == ContentState::kFailed && !WorthAnotherTry(old.verdict)) {
    RETURN_IF_ERROR(RunSql(db,
                           "UPDATE contents SET state = 3, (verdict, message) = (SELECT verdict, message FROM contents "
                           "WHERE row = ?2) WHERE row = ?1 AND state < 2",
                           next, old.row));
  }
  return next;
}

absl::StatusOr<std::string> NextModelOf(Connection& db, int64_t store) {
  Statement q(db, "SELECT next_model FROM stores WHERE row = ?1", store);
  std::string model;
  if (q.Step()) model = q.Text(0);
  if (!q.ok()) return q.status();
  return model;
}

// Documents that have been read, and whose next content failed: with them left behind, the store would lose something.
constexpr char kLeftBehind[] =
    "FROM documents d JOIN contents n ON n.row = d.next_content JOIN contents o ON o.row = d.content "
    "WHERE d.store = ?1 AND n.state = 3 AND o.state = 2";

absl::StatusOr<bool> IsWhole(Connection& db, int64_t store) {
  {
    // From the few that are still to be done, so that asking after each of many costs little.
    Statement q(db,
                "SELECT 1 FROM contents n INDEXED BY contents_to_do CROSS JOIN documents d ON d.next_content = n.row "
                "WHERE n.state < 2 AND d.store = ?1 LIMIT 1",
                store);
    if (q.Step()) return false;
    if (!q.ok()) return q.status();
  }
  Statement q(db, std::string("SELECT 1 ") + kLeftBehind + " LIMIT 1", store);
  const bool left_behind = q.Step();
  if (!q.ok()) return q.status();
  return !left_behind;
}

}  // namespace

absl::Status StartReembedding(Connection& db, const StoreRow& store, const std::string& model, int64_t now_ms) {
  RETURN_IF_ERROR(RunSql(db, "UPDATE stores SET next_model = ?2 WHERE row = ?1", store.row, model));
  ASSIGN_OR_RETURN(const std::vector<OldContent> contents, ContentsOf(db, store.row));
  for (const OldContent& old : contents) {
    ASSIGN_OR_RETURN(const int64_t next, NextContentOf(db, old, model, now_ms));
    RETURN_IF_ERROR(RunSql(db, "UPDATE documents SET next_content = ?3 WHERE store = ?1 AND content = ?2", store.row,
                           old.row, next));
  }
  return absl::OkStatus();
}

absl::Status CallOffReembedding(Connection& db, int64_t store) {
  RETURN_IF_ERROR(RunSql(db, "UPDATE stores SET next_model = '' WHERE row = ?1", store));
  return RunSql(db, "UPDATE documents SET next_content = NULL WHERE store = ?1 AND next_content IS NOT NULL", store);
}

absl::Status AddNextContent(Connection& db, const StoreRow& store, int64_t document, ContentKey key,
                            uint64_t size_bytes, int64_t now_ms) {
  ASSIGN_OR_RETURN(key.model, NextModelOf(db, store.row));
  if (key.model.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t next, EnsureContent(db, key, size_bytes, now_ms));
  if (key.type == 0) {
    RETURN_IF_ERROR(RunSql(db,
                           "UPDATE contents SET state = 3, (verdict, message) = (SELECT c.verdict, c.message FROM "
                           "documents d JOIN contents c ON c.row = d.content WHERE d.row = ?2) WHERE row = ?1",
                           next, document));
  }
  return RunSql(db, "UPDATE documents SET next_content = ?2 WHERE row = ?1", document, next);
}

absl::StatusOr<bool> FinishReembedding(Connection& db, int64_t store) {
  ASSIGN_OR_RETURN(const std::string model, NextModelOf(db, store));
  if (model.empty()) return false;
  ASSIGN_OR_RETURN(const bool whole, IsWhole(db, store));
  if (!whole) return false;
  RETURN_IF_ERROR(DropTermIndex(db, store));
  RETURN_IF_ERROR(RunSql(db, "DELETE FROM indexed WHERE store = ?1", store));
  RETURN_IF_ERROR(RunSql(db,
                         "UPDATE documents SET content = next_content, next_content = NULL WHERE store = ?1 AND "
                         "next_content IS NOT NULL",
                         store));
  RETURN_IF_ERROR(RunSql(db, "UPDATE stores SET model = next_model, next_model = '' WHERE row = ?1", store));
  ASSIGN_OR_RETURN(const std::vector<OldContent> contents, ContentsOf(db, store));
  for (const OldContent& content : contents) {
    if (content.state == ContentState::kReady) RETURN_IF_ERROR(IndexContent(db, store, content.row));
  }
  return true;
}

absl::StatusOr<std::optional<ReembeddingInfo>> ReadReembedding(Connection& db, int64_t store) {
  ASSIGN_OR_RETURN(std::string model, NextModelOf(db, store));
  if (model.empty()) return std::nullopt;
  ReembeddingInfo out{.model = std::move(model)};
  {
    Statement q(db,
                "SELECT count(*), count(*) FILTER (WHERE n.state >= 2) FROM documents d LEFT JOIN contents n ON "
                "n.row = d.next_content WHERE d.store = ?1",
                store);
    if (!q.Step()) return q.status();
    out.documents = static_cast<uint64_t>(q.Int(0));
    out.documents_done = static_cast<uint64_t>(q.Int(1));
  }
  {
    Statement q(db,
                "SELECT count(s.vector), count(*) FROM sub_passages s WHERE s.content IN (SELECT next_content FROM "
                "documents WHERE store = ?1 AND next_content IS NOT NULL)",
                store);
    if (!q.Step()) return q.status();
    out.embedded = static_cast<uint64_t>(q.Int(0));
    out.to_embed = static_cast<uint64_t>(q.Int(1));
  }
  Statement q(db, std::string("SELECT count(*), min(d.file_name || ': ' || n.message) ") + kLeftBehind, store);
  if (!q.Step()) return q.status();
  out.documents_failed = static_cast<uint64_t>(q.Int(0));
  out.documents_done -= out.documents_failed;
  out.message = q.Text(1);
  return out;
}

absl::StatusOr<std::vector<int64_t>> StoresReembedding(Connection& db, std::optional<int64_t> content) {
  std::vector<int64_t> out;
  Statement q(db,
              content ? "SELECT DISTINCT store FROM documents WHERE next_content = ?1"
                      : "SELECT row FROM stores WHERE next_model <> '' AND ?1 = 0",
              content.value_or(0));
  while (q.Step()) out.push_back(q.Int(0));
  if (!q.ok()) return q.status();
  return out;
}

}  // namespace carrel::retrieval
