// Word documents (docx).
#pragma once

#include <string_view>

#include "frame_writer.h"

namespace carrel::retrieval::extract {

// Paragraphs, headings by their styles' outline level, lists with their numbers, tables (a row is a line), footnotes
// and endnotes below the paragraph that refers to them, text boxes. As the document reads with all changes accepted:
// deleted and moved-away text is left out, as are hidden text, comments, tables of contents, heads and feet.
// Writes DOCUMENT and BLOCKS frames.
[[nodiscard]] Verdict ExtractDocx(std::string_view bytes, FrameWriter& out);

}  // namespace carrel::retrieval::extract
