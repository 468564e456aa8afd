// Headings of source code: the definitions at the outermost level, and the sections of TeX.
#pragma once

#include <string_view>
#include <vector>

#include "retrieval/document_text.h"
#include "retrieval/wire.h"

namespace carrel::retrieval {

// By the line alone, which must begin a definition in its first column; nothing is parsed, so strings and comments that
// look so count. kSource has none.
[[nodiscard]] std::vector<Heading> FindDefinitions(std::u32string_view text, wire::DocumentType type);

}  // namespace carrel::retrieval
