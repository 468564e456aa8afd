// What bytes look like, for the sentence that refuses a file whose name says something else.
#pragma once

#include <string>
#include <string_view>

#include "frame_writer.h"

namespace carrel::retrieval::extract {

// As after "its bytes are": "a PDF", "a ZIP archive", ...; "" when they look like nothing in particular.
[[nodiscard]] std::string_view LooksLike(std::string_view bytes);

// An OLE container: an Office document before 2007, or an encrypted one of today.
[[nodiscard]] bool IsOle(std::string_view bytes);
[[nodiscard]] bool IsZip(std::string_view bytes);

// "Its name says <name_says> and its bytes are <looks>."
[[nodiscard]] Verdict Mismatch(std::string_view name_says, std::string_view looks);

}  // namespace carrel::retrieval::extract
