// Text files: UTF-8, UTF-16 with its byte order mark, ASCII; anything else is refused with its offset.
#pragma once

#include <string_view>

#include "frame_writer.h"
#include "retrieval/wire.h"

namespace carrel::retrieval::extract {

// Writes DOCUMENT and TEXT frames and returns the verdict. What stands before the fault is not sent: a file that is not
// text in one place is not text.
[[nodiscard]] Verdict ExtractPlainText(std::string_view bytes, wire::DocumentType type, FrameWriter& out);

}  // namespace carrel::retrieval::extract
