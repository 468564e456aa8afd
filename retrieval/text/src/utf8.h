// UTF-8 to code points, strictly.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace carrel::retrieval {

// Appends the code points of `bytes`; the offset of the first byte that is not UTF-8 if there is one (what stands
// before it was appended then).
[[nodiscard]] std::optional<size_t> AppendCodePoints(std::string_view bytes, std::u32string& out);

}  // namespace carrel::retrieval
