// What a refusal says to programs, attached to an absl::Status without knowing how it will travel.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace carrel::interpreter {

struct ErrorFacts {
  std::string field;     // "limits.wall_ms"; "": not about one field
  std::string value;     // what was refused
  std::string expected;  // what would be right
  absl::Duration retry_after = absl::ZeroDuration();
};

// INVALID_ARGUMENT: "<field> is <value>: expected <expected>".
[[nodiscard]] absl::Status InvalidField(std::string_view field, std::string_view value, std::string_view expected);
// RESOURCE_EXHAUSTED; the same call may succeed after `delay`.
[[nodiscard]] absl::Status TryLater(std::string_view message, absl::Duration delay);

// The facts of a status that one of the above made.
[[nodiscard]] std::optional<ErrorFacts> FactsOf(const absl::Status& status);

}  // namespace carrel::interpreter
