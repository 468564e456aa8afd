// The tables, and how an older database becomes a newer one.
#pragma once

#include "absl/status/status.h"
#include "database.h"

namespace carrel::gateway {

// On the writer's connection, before anything else. FAILED_PRECONDITION for a schema that this program does not know.
absl::Status Migrate(Database& database);

}  // namespace carrel::gateway
