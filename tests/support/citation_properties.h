// What must hold of every extracted document and of every passage cut from it, whatever it says: the property that
// citations rest on.
#pragma once

#include <string>
#include <vector>

#include "retrieval/document_text.h"
#include "retrieval/passages.h"

namespace carrel::testing {

// Words by white space, a token for every four characters of each: near enough to a word piece tokenizer.
[[nodiscard]] uint32_t CountTokensRoughly(std::string_view text);

// A sentence for each fault, at most `most`:
//   spans of pages, words and headings lie in the text, in order; every visible character of a page with a layout
//   belongs to a word; boxes lie within their page, after EncodePage and DecodePage too;
//   sub-passages cover every visible character of the body once, are trimmed, fit the window; each has boxes, one or
//   more on each of its pages, all within them; passages fit their size and are runs of sub-passages.
[[nodiscard]] std::vector<std::string> FaultsOf(const retrieval::ExtractedDocument& document,
                                                const retrieval::Chunks& chunks,
                                                const retrieval::ChunkingOptions& options, size_t most = 10);

}  // namespace carrel::testing
