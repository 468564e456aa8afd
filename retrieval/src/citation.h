// A span of a content as a citation.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "database.h"
#include "retrieval/search.h"

namespace carrel::retrieval {

// `span` is not empty and lies in the content's text. The caller holds the snapshot, and gives the characters of the
// span where it has them.
[[nodiscard]] absl::StatusOr<Citation> MakeCitation(Connection& db, int64_t content, Span span, std::string quote);
[[nodiscard]] absl::StatusOr<Citation> MakeCitation(Connection& db, int64_t content, Span span);

}  // namespace carrel::retrieval
