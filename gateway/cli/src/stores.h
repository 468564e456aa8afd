// Stores by name or id.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"

namespace carrel::cli {

// The store with this id, else the only one with this name. NOT_FOUND; an ambiguous name is
// INVALID_ARGUMENT and lists the ids.
[[nodiscard]] absl::StatusOr<retrieval::v1::Store> FindStore(retrieval::v1::Retrieval::Stub& stub,
                                                             const std::string& name_or_id);

}  // namespace carrel::cli
