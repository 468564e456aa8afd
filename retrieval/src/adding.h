// What adding a document writes: its content into the queue, and itself into its store. Within the caller's
// transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "blobs.h"
#include "contents.h"
#include "database.h"
#include "records.h"
#include "removal.h"
#include "retrieval/types.h"

namespace carrel::retrieval {

struct Adding {
  Connection& db;
  Blobs& blobs;
  uint64_t queue_length_max = 0;
  int64_t now_ms = 0;
};

// Whether a document that failed is begun anew when its bytes come once more, because it may end otherwise: the failure
// was one that may pass, or the settings are others by now. `known`: the content of `key`, if there is one.
[[nodiscard]] bool MayBeTriedAgain(const DocumentRow& there, const ContentKey& key,
                                   const std::optional<ContentRow>& known);

// The content of `key`, with its bytes in their place and itself in the queue, unless it has been read (or cannot be).
// RESOURCE_EXHAUSTED: the queue is full.
[[nodiscard]] absl::StatusOr<ContentRow> QueueContent(const Adding& adding, const ContentKey& key,
                                                      const std::optional<ContentRow>& known, IncomingFile& file,
                                                      const std::string& file_name);

// The document's row: a new one, or that of `failed` (null: there is none), which gets everything anew. The content
// that `failed` had for another model, if there was one, is an orphan then.
[[nodiscard]] absl::StatusOr<int64_t> WriteDocument(const Adding& adding, const StoreRow& store,
                                                    const DocumentRow* failed, const std::string& id,
                                                    const NewDocument& document, int64_t content, Removal& removal);

}  // namespace carrel::retrieval
