// The tables of retrieval.db, and their migrations.
#pragma once

#include "absl/status/status.h"
#include "database.h"

namespace carrel::retrieval {

// Brings a new or older database to this version, in one transaction. FAILED_PRECONDITION: it is of a newer Carrel.
[[nodiscard]] absl::Status MigrateSchema(Connection& connection);

// contents.state: where the ingest of some bytes stands.
enum class ContentState : uint8_t {
  kQueued = 0,
  kExtracted = 1,  // text, passages and terms are stored; vectors are missing
  kReady = 2,      // searchable
  kFailed = 3,
};

}  // namespace carrel::retrieval
