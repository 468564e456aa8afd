#include "records.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "reembedding.h"
#include "status_macros.h"
#include "views.h"

namespace carrel::retrieval {
namespace {

constexpr char kDocumentSelect[] =
    "SELECT d.row, d.content, c.state, d.id, s.id, d.file_name, c.size_bytes, c.sha256, c.verdict, c.message, "
    "d.attributes, c.max_tokens, c.overlap_tokens, d.created_ms, c.pages, c.characters, c.passages, "
    "c.stored_bytes, d.next_content, c.postponed "
    "FROM documents d JOIN contents c ON c.row = d.content JOIN stores s ON s.row = d.store WHERE ";

constexpr char kNotExpired[] = "(expires_after_days = 0 OR active_ms + expires_after_days * 86400000 > ?2)";

DocumentStatus StatusOf(ContentState state) {
  switch (state) {
    case ContentState::kReady:
      return DocumentStatus::kCompleted;
    case ContentState::kFailed:
      return DocumentStatus::kFailed;
    default:
      return DocumentStatus::kInProgress;
  }
}

DocumentRow ReadDocument(const Statement& q) {
  DocumentRow out{.row = q.Int(0), .content = q.Int(1), .state = static_cast<ContentState>(q.Int(2))};
  DocumentInfo& info = out.info;
  info.id = q.Text(3);
  info.store_id = q.Text(4);
  info.file_name = q.Text(5);
  info.size_bytes = static_cast<uint64_t>(q.Int(6));
  info.sha256 = q.Text(7);
  info.status = StatusOf(out.state);
  if (!q.Null(8) && info.status != DocumentStatus::kInProgress) info.verdict = static_cast<Verdict>(q.Int(8));
  info.message = q.Text(info.status == DocumentStatus::kInProgress ? 19 : 9);
  info.attributes = DecodeAttributes(q.Bytes(10));
  info.chunking = {.max_tokens = static_cast<uint32_t>(q.Int(11)), .overlap_tokens = static_cast<uint32_t>(q.Int(12))};
  info.created_ms = q.Int(13);
  info.pages = static_cast<uint32_t>(q.Int(14));
  info.characters = static_cast<uint64_t>(q.Int(15));
  info.passages = static_cast<uint64_t>(q.Int(16));
  info.usage_bytes = info.size_bytes + static_cast<uint64_t>(q.Int(17));
  if (!q.Null(18)) out.next_content = q.Int(18);
  if (info.status == DocumentStatus::kCompleted) {
    info.progress = {.phase = Phase::kDone, .pages_done = info.pages, .pages = info.pages};
  }
  if (info.status == DocumentStatus::kFailed) info.progress.phase = Phase::kDone;
  return out;
}

}  // namespace

absl::StatusOr<StoreRow> FindStore(Connection& db, const std::string& owner, const std::string& id, int64_t now_ms) {
  Statement q(db,
              absl::StrCat("SELECT row, max_tokens, overlap_tokens, model, expires_after_days, active_ms, next_model "
                           "FROM stores WHERE id = ?1 AND owner = ?3 AND ",
                           kNotExpired),
              id, now_ms, owner);
  if (q.Step()) {
    return StoreRow{.row = q.Int(0),
                    .id = id,
                    .owner = owner,
                    .chunking = {static_cast<uint32_t>(q.Int(1)), static_cast<uint32_t>(q.Int(2))},
                    .model = q.Text(3),
                    .expires_after_days = static_cast<uint32_t>(q.Int(4)),
                    .active_ms = q.Int(5),
                    .next_model = q.Text(6)};
  }
  if (!q.ok()) return q.status();
  return absl::NotFoundError(absl::StrCat("there is no store ", id));
}

absl::StatusOr<StoreInfo> ReadStore(Connection& db, int64_t row) {
  Statement q(db,
              "SELECT id, owner, name, max_tokens, overlap_tokens, model, expires_after_days, created_ms, active_ms "
              "FROM stores WHERE row = ?1",
              row);
  if (!q.Step()) return q.ok() ? absl::NotFoundError("there is no such store") : q.status();
  StoreInfo out{.id = q.Text(0),
                .owner = q.Text(1),
                .name = q.Text(2),
                .chunking = {static_cast<uint32_t>(q.Int(3)), static_cast<uint32_t>(q.Int(4))},
                .model = q.Text(5),
                .expires_after_days = static_cast<uint32_t>(q.Int(6)),
                .created_ms = q.Int(7),
                .last_active_ms = q.Int(8)};
  Statement counts(db,
                   "SELECT c.state, count(*), sum(c.passages), sum(c.size_bytes + c.stored_bytes) FROM documents d "
                   "JOIN contents c ON c.row = d.content WHERE d.store = ?1 GROUP BY c.state",
                   row);
  while (counts.Step()) {
    const DocumentStatus status = StatusOf(static_cast<ContentState>(counts.Int(0)));
    uint64_t& count = status == DocumentStatus::kCompleted ? out.documents.completed
                      : status == DocumentStatus::kFailed  ? out.documents.failed
                                                           : out.documents.in_progress;
    count += static_cast<uint64_t>(counts.Int(1));
    if (status == DocumentStatus::kCompleted) out.passages += static_cast<uint64_t>(counts.Int(2));
    out.usage_bytes += static_cast<uint64_t>(counts.Int(3));
  }
  if (!counts.ok()) return counts.status();
  ASSIGN_OR_RETURN(out.reembedding, ReadReembedding(db, row));
  return out;
}

absl::StatusOr<std::vector<StoreInfo>> ReadStores(Connection& db, const std::string& owner, int64_t now_ms) {
  std::vector<int64_t> rows;
  {
    Statement q(db, absl::StrCat("SELECT row FROM stores WHERE owner = ?1 AND ", kNotExpired, " ORDER BY row"), owner,
                now_ms);
    while (q.Step()) rows.push_back(q.Int(0));
    if (!q.ok()) return q.status();
  }
  std::vector<StoreInfo> out;
  for (const int64_t row : rows) {
    ASSIGN_OR_RETURN(StoreInfo store, ReadStore(db, row));
    out.push_back(std::move(store));
  }
  return out;
}

absl::StatusOr<std::vector<int64_t>> ExpiredStores(Connection& db, int64_t now_ms) {
  std::vector<int64_t> rows;
  Statement q(db, absl::StrCat("SELECT row FROM stores WHERE ?1 AND NOT ", kNotExpired), int64_t{1}, now_ms);
  while (q.Step()) rows.push_back(q.Int(0));
  if (!q.ok()) return q.status();
  return rows;
}

// What is embedded anew is no document that waits to be found.
absl::StatusOr<QueueCounts> CountQueue(Connection& db) {
  Statement q(db,
              "SELECT count(*), count(*) FILTER (WHERE c.postponed <> '') FROM contents c WHERE c.state < 2 AND "
              "EXISTS(SELECT 1 FROM documents d WHERE d.content = c.row)");
  if (!q.Step()) return q.status();
  return QueueCounts{.length = static_cast<uint64_t>(q.Int(0)), .postponed = static_cast<uint64_t>(q.Int(1))};
}

absl::StatusOr<DocumentRow> FindDocument(Connection& db, int64_t store, const std::string& id) {
  Statement q(db, absl::StrCat(kDocumentSelect, "d.store = ?1 AND d.id = ?2"), store, id);
  if (q.Step()) return ReadDocument(q);
  if (!q.ok()) return q.status();
  return absl::NotFoundError(absl::StrCat("there is no document ", id, " in this store"));
}

absl::StatusOr<std::vector<DocumentRow>> ListDocumentRows(Connection& db, int64_t store,
                                                          std::optional<DocumentStatus> status, int64_t after_row,
                                                          uint32_t limit) {
  int64_t low = 0, high = 3;
  if (status == DocumentStatus::kInProgress) high = static_cast<int64_t>(ContentState::kExtracted);
  if (status == DocumentStatus::kCompleted) low = high = static_cast<int64_t>(ContentState::kReady);
  if (status == DocumentStatus::kFailed) low = static_cast<int64_t>(ContentState::kFailed);
  std::vector<DocumentRow> out;
  Statement q(db,
              absl::StrCat(kDocumentSelect,
                           "d.store = ?1 AND d.row > ?2 AND c.state BETWEEN ?3 AND ?4 ORDER BY d.row LIMIT ?5"),
              store, after_row, low, high, limit);
  while (q.Step()) out.push_back(ReadDocument(q));
  if (!q.ok()) return q.status();
  return out;
}

absl::StatusOr<std::vector<DocumentRow>> DocumentsOfContent(Connection& db, int64_t store, int64_t content) {
  std::vector<DocumentRow> out;
  Statement q(db, absl::StrCat(kDocumentSelect, "d.store = ?1 AND d.content = ?2 ORDER BY d.row"), store, content);
  while (q.Step()) out.push_back(ReadDocument(q));
  if (!q.ok()) return q.status();
  return out;
}

absl::Status ReadAttributes(Connection& db, int64_t store, const std::function<void(const DocumentAttributes&)>& sink) {
  Statement q(db, "SELECT row, content, attributes FROM documents WHERE store = ?1", store);
  while (q.Step()) {
    sink({.document = q.Int(0), .content = q.Int(1), .attributes = DecodeAttributes(q.Bytes(2))});
  }
  return q.status();
}

std::string EncodeAttributes(const Attributes& attributes) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [key, value] : attributes) {
    std::visit([&, &name = key](const auto& v) { out[name] = v; }, value);
  }
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Attributes DecodeAttributes(std::string_view json) {
  Attributes out;
  // Written by EncodeAttributes; without exceptions, so that a damaged database is no crash.
  const nlohmann::json parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_object()) return out;
  for (const auto& [key, value] : parsed.items()) {
    if (value.is_boolean()) out[key] = value.get<bool>();
    if (value.is_number()) out[key] = value.get<double>();
    if (value.is_string()) out[key] = value.get<std::string>();
  }
  return out;
}

std::string MakeId(const char* prefix) {
  std::array<char, 12> random{};
  // At this length getrandom neither blocks after boot nor returns less.
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) std::abort();
  return absl::StrCat(prefix, absl::BytesToHexString({random.data(), random.size()}));
}

}  // namespace carrel::retrieval
