// Makes a document's text of what the extractor saw: lines of words, in logical order, repaired and joined to
// paragraphs; running heads and page numbers set apart; headings found. See document_text.h for the result.
//
// Pure and deterministic; thread-safe.
#pragma once

#include "retrieval/document_text.h"
#include "retrieval/frame_decoder.h"

namespace carrel::retrieval {

[[nodiscard]] ExtractedDocument BuildDocument(RawDocument raw);

}  // namespace carrel::retrieval
