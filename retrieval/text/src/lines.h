// Words of a page to lines of text in logical order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "retrieval/document_text.h"
#include "retrieval/frame_decoder.h"

namespace carrel::retrieval {

// A box in the direction of reading: u along the line, v from line to line, both rising.
struct Extent {
  float u_min = 0;
  float u_max = 0;
  float v_min = 0;
  float v_max = 0;
  [[nodiscard]] float height() const { return v_max - v_min; }
};
[[nodiscard]] Extent ExtentOf(const Box& box, uint8_t rotation);

struct Line {
  std::u32string text;  // words with single spaces; no white space at the ends; not empty
  struct Piece {
    Span span;  // in text
    Box box;
  };
  std::vector<Piece> pieces;  // in the order of their spans
  Extent extent;
  float first_word_width = 0;  // of the first word in logical order
  float font_size = 0;         // of most of its characters
  uint8_t rotation = 0;
  bool bold = false;         // nearly all of it
  bool fixed_width = false;  // nearly all of it
  bool right_to_left = false;
  bool had_leaders = false;  // dots between a title and its page
  bool margin = false;       // a running head, foot or page number
  Span span;                 // in the document's text, once it stands there
};

// In poppler's reading order (columns one after the other). Ligatures U+FB00..FB06 are folded, invisible characters
// dropped, right-to-left words and lines turned from the order of glyphs to that of reading.
[[nodiscard]] std::vector<Line> LinesOf(const RawPage& page);

// Marks running heads, feet and page numbers: what comes back at the same place of at least three pages (of two, when
// there are only two) near the upper or lower edge, digits aside, and a number alone there that is the page's own.
// `pages[i]` are the lines of `raw[i]`.
void MarkMargins(const std::vector<RawPage>& raw, std::vector<std::vector<Line>>& pages);

}  // namespace carrel::retrieval
