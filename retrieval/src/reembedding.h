// A store on its way to another model, while it goes on answering with the one it has.
//
// stores.next_model is where it goes; documents.next_content is, of each of its documents, the content that its bytes
// are with that model. The queue embeds those as it does all contents, from the text that was stored when the document
// was first read. When they are whole, one transaction makes them the documents' own; what they replace is without a
// document then, and goes with the next maintenance (ReleaseOrphans).
//
// Functions on a connection; the caller holds the transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "contents.h"
#include "database.h"
#include "records.h"
#include "retrieval/types.h"

namespace carrel::retrieval {

// `model` is not the one that the store has. There already is fine, and tries again what failed; another way that it
// was on is left.
[[nodiscard]] absl::Status StartReembedding(Connection& db, const StoreRow& store, const std::string& model,
                                            int64_t now_ms);
[[nodiscard]] absl::Status CallOffReembedding(Connection& db, int64_t store);
// For a document that came while the store is on its way.
[[nodiscard]] absl::Status AddNextContent(Connection& db, const StoreRow& store, int64_t document, ContentKey key,
                                          uint64_t size_bytes, int64_t now_ms);
// Makes the next model the store's, if it is on its way and all is ready. False: not now. The store's index in memory
// is another then, and is to be dropped after the commit.
[[nodiscard]] absl::StatusOr<bool> FinishReembedding(Connection& db, int64_t store);

[[nodiscard]] absl::StatusOr<std::optional<ReembeddingInfo>> ReadReembedding(Connection& db, int64_t store);
// Stores on their way; with a content, those that wait for it.
[[nodiscard]] absl::StatusOr<std::vector<int64_t>> StoresReembedding(Connection& db, std::optional<int64_t> content);

}  // namespace carrel::retrieval
