// A document that comes as blocks (html, docx, pptx, xlsx, csv, json) to its text.
#pragma once

#include "retrieval/document_text.h"
#include "retrieval/frame_decoder.h"

namespace carrel::retrieval {

// Paragraphs, headings and tables are set apart by an empty line, rows and items by a line's end. Within a block white
// space is one space, a line break stays (in a row it becomes a space), and what has no width is dropped; verbatim
// blocks keep their lines and their indentation. A part (slide, sheet) is a page.
[[nodiscard]] ExtractedDocument BuildFromBlocks(RawDocument raw);

}  // namespace carrel::retrieval
