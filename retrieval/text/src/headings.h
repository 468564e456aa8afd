// Headings of a paged document: by its outline where it has one, else by the size of the type.
#pragma once

#include <vector>

#include "lines.h"
#include "retrieval/document_text.h"
#include "retrieval/frame_decoder.h"

namespace carrel::retrieval {

// `lines`: the body's, in the order of the text, spans set.
[[nodiscard]] std::vector<Heading> FindHeadings(const std::vector<const Line*>& lines,
                                                const std::vector<RawOutlineItem>& outline);

// Of markdown: "#" lines and underlined ones, not within fences.
[[nodiscard]] std::vector<Heading> FindMarkdownHeadings(std::u32string_view text);

}  // namespace carrel::retrieval
