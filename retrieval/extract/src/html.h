// HTML through gumbo, to what a browser shows. The only file that includes gumbo is html.cc.
#pragma once

#include <string_view>

#include "frame_writer.h"

namespace carrel::retrieval::extract {

inline constexpr size_t kHtmlBytesMax = 64u << 20;
inline constexpr uint32_t kHtmlTagsMax = 1'000'000;
inline constexpr uint32_t kHtmlDepthMax = 512;  // browsers' own
inline constexpr uint32_t kHtmlAttributesMax = 1'000;

// Headings, paragraphs, lists, tables (a row is a line; a table that holds headings or tables is layout and read as
// paragraphs), preformatted text. Left out: scripts, styles, forms' controls, navigation, and what is hidden.
// Encoding: as text files; beyond that windows-1252 where the document itself declares it (or ISO-8859-1, which the web
// reads as that) and is not UTF-8. Where a limit is reached what stands before is read. Writes DOCUMENT and BLOCKS.
[[nodiscard]] Verdict ExtractHtml(std::string_view bytes, FrameWriter& out);

}  // namespace carrel::retrieval::extract
