// PowerPoint presentations (pptx).
#pragma once

#include <cstdint>
#include <string_view>

#include "frame_writer.h"

namespace carrel::retrieval::extract {

// A PART a slide, in the presentation's order and with its number there: the title as heading, text of shapes and
// groups, tables (a row is a line), diagrams' text, the speaker's notes after "Notes:". Dates, feet and slide numbers
// are left out, and text that only pictures and charts show. A slide that is damaged is left out.
// Writes DOCUMENT, PART and BLOCKS frames.
[[nodiscard]] Verdict ExtractPptx(std::string_view bytes, uint32_t slides_max, FrameWriter& out);

}  // namespace carrel::retrieval::extract
