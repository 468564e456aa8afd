// Citations as people read them.
#pragma once

#include <string>
#include <string_view>

#include "api_client.h"

namespace carrel::cli {

// "page 3", "pages 3 (iii) to 4 (iv)"; "" where there are none.
[[nodiscard]] std::string PagesOf(const Json& citation);
// On one line, and safe for a terminal.
[[nodiscard]] std::string OneLine(std::string_view text);

}  // namespace carrel::cli
