// The SQL of stores and documents. Functions on a connection; the caller holds the transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "database.h"
#include "retrieval/types.h"
#include "schema.h"

namespace carrel::retrieval {

inline constexpr int64_t kMillisPerDay = 86'400'000;

struct StoreRow {
  int64_t row = 0;
  std::string id;
  std::string owner;
  Chunking chunking;
  std::string model;
  uint32_t expires_after_days = 0;
  int64_t active_ms = 0;
  std::string next_model;  // "": it stays with the one it has
};

// NOT_FOUND: none of this owner's, or expired at `now_ms`.
[[nodiscard]] absl::StatusOr<StoreRow> FindStore(Connection& db, const std::string& owner, const std::string& id,
                                                 int64_t now_ms);
[[nodiscard]] absl::StatusOr<StoreInfo> ReadStore(Connection& db, int64_t row);
// Oldest first, without the expired.
[[nodiscard]] absl::StatusOr<std::vector<StoreInfo>> ReadStores(Connection& db, const std::string& owner,
                                                                int64_t now_ms);
[[nodiscard]] absl::StatusOr<std::vector<int64_t>> ExpiredStores(Connection& db, int64_t now_ms);

struct QueueCounts {
  uint64_t length = 0;     // contents of documents that are in progress
  uint64_t postponed = 0;  // of these, with a reason
};
[[nodiscard]] absl::StatusOr<QueueCounts> CountQueue(Connection& db);

struct DocumentRow {
  int64_t row = 0;
  int64_t content = 0;
  std::optional<int64_t> next_content;  // with the model that the store is on its way to
  ContentState state = ContentState::kQueued;
  DocumentInfo info;  // without progress while the work goes on
};
// NOT_FOUND.
[[nodiscard]] absl::StatusOr<DocumentRow> FindDocument(Connection& db, int64_t store, const std::string& id);
[[nodiscard]] absl::StatusOr<std::vector<DocumentRow>> ListDocumentRows(Connection& db, int64_t store,
                                                                        std::optional<DocumentStatus> status,
                                                                        int64_t after_row, uint32_t limit);
// Of a content in a store, oldest first.
[[nodiscard]] absl::StatusOr<std::vector<DocumentRow>> DocumentsOfContent(Connection& db, int64_t store,
                                                                          int64_t content);
struct DocumentAttributes {
  int64_t document = 0;  // row
  int64_t content = 0;
  Attributes attributes;
};
// Calls `sink` for every document of the store, whether it has been read or not.
[[nodiscard]] absl::Status ReadAttributes(Connection& db, int64_t store,
                                          const std::function<void(const DocumentAttributes&)>& sink);

[[nodiscard]] std::string EncodeAttributes(const Attributes& attributes);
[[nodiscard]] Attributes DecodeAttributes(std::string_view json);

// prefix and 24 random hexadecimal digits.
[[nodiscard]] std::string MakeId(const char* prefix);

}  // namespace carrel::retrieval
