// What is said of a choice among tools, to clients and to the model alike.
#pragma once

#include <optional>
#include <string>

#include "gateway/types/tool.h"

namespace carrel::gateway {

// "auto", "none" or "required"; nullopt: the choice is one tool, which each side names in its own way. Thread-safe.
[[nodiscard]] std::optional<std::string> ToolChoiceWord(ToolChoice::Kind kind);

}  // namespace carrel::gateway
