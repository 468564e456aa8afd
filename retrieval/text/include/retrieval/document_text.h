// A document's extracted text, and the map from it back to pages, printed labels, lines and boxes.
//
// Offsets are Unicode code points, half-open. The text is what quotes are quoted from, so it is one string for the life
// of the document: the body of every page in reading order, repaired (ligatures, hyphens at line ends, right-to-left),
// and after it, from body_end, the running heads and page numbers that were taken out of the flow, page by page. So a
// sentence runs on over a page break, and every quote is one contiguous span.
//
// Plain values; const use is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace carrel::retrieval {

struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
  [[nodiscard]] uint32_t size() const { return end - begin; }
  [[nodiscard]] bool empty() const { return begin >= end; }
  [[nodiscard]] bool Contains(const Span& other) const { return begin <= other.begin && other.end <= end; }
  [[nodiscard]] bool Intersects(const Span& other) const { return begin < other.end && other.begin < end; }
  bool operator==(const Span&) const = default;
};

// PDF points, origin at the top left of the page as displayed (crop box, rotation applied).
struct Box {
  float x_min = 0;
  float y_min = 0;
  float x_max = 0;
  float y_max = 0;
  bool operator==(const Box&) const = default;
};

// A piece of text on one line: a word, or the part of a hyphenated word that stands on that line.
struct Word {
  Span span;
  uint32_t line = 0;  // numbered within the page
  Box box;            // within the page
};

struct Page {
  uint32_t number = 0;  // 1-based
  // As printed ("xii"), UTF-8; "slide 3", "sheet Budget"; the number where the document has none.
  std::string label;
  float width = 0;  // points; 0: no layout (a text file), and then there are no words
  float height = 0;
  Span body;                // in the text before body_end; pages' bodies follow each other
  Span margin;              // its running heads and page numbers, in the text after body_end; often empty
  std::vector<Word> words;  // by span.begin, those of the body before those of the margin
  bool recognised = false;  // its text was read by character recognition: it is not the document's own
};

struct Heading {
  Span span;          // where it stands in the text; it holds for what follows, until the next
  uint8_t level = 1;  // 1 is the top
  std::string title;  // UTF-8, one line
};

struct ExtractedDocument {
  // Of the metadata, or of the first heading of a markdown file; "" when none.
  std::string title;
  std::u32string text;
  uint32_t body_end = 0;
  std::vector<Page> pages;        // at least one; what has no pages, slides or sheets has one, without layout
  std::vector<Heading> headings;  // by span.begin
  bool by_line = false;           // rows of tables, lines of code: a line is a whole, as a sentence of prose is
};

struct PageBox {
  uint32_t page = 0;  // number
  Box box;
  bool operator==(const PageBox&) const = default;
};

// One box per line that `span` touches, in reading order; empty for pages without layout. `pages` may be any of the
// document's pages in order (those that FirstAndLastPage names are enough).
[[nodiscard]] std::vector<PageBox> BoxesOf(std::span<const Page> pages, Span span);

struct PageRange {
  size_t first = 0;  // indexes into `pages`
  size_t last = 0;
};
// The pages on which `span` begins and ends. White space between two pages belongs to the earlier.
[[nodiscard]] PageRange PagesOf(std::span<const Page> pages, Span span);

// The innermost heading that holds at `offset`, as an index into `headings`; -1: none.
[[nodiscard]] int HeadingAt(std::span<const Heading> headings, uint32_t offset);
// "Title of chapter > Title of section": the headings that hold at `offset`, top first. "" when none.
[[nodiscard]] std::string HeadingPath(std::span<const Heading> headings, uint32_t offset);

// One page as bytes for a database, about 9 bytes a word; versioned. Boxes are kept to 1/20 point, rounded inwards so
// that they stay within the page. Decoding checks every field: DATA_LOSS when it does not hold.
[[nodiscard]] std::string EncodePage(const Page& page);
[[nodiscard]] absl::StatusOr<Page> DecodePage(std::string_view bytes);

[[nodiscard]] std::string ToUtf8(std::u32string_view text);
// INVALID_ARGUMENT names the byte offset of what is not UTF-8.
[[nodiscard]] absl::StatusOr<std::u32string> FromUtf8(std::string_view bytes);

}  // namespace carrel::retrieval
