// Pages as a person lists them.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace carrel::retrieval {

// "page 3", "pages 3 and 7-9", "pages 1, 3, 5 and 31 more": `pages` rise. At most ten ranges are named.
[[nodiscard]] std::string PageList(std::span<const uint32_t> pages);

}  // namespace carrel::retrieval
