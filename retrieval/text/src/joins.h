// How one line of a document goes on in the next: within a word, with a space, on a new line, or in a new paragraph.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "lines.h"

namespace carrel::retrieval {

enum class Join : uint8_t {
  kWord,       // the hyphen at the line's end was the typesetter's: drop it
  kNone,       // no space: the hyphen is the word's own, or the script has no spaces
  kSpace,      // the same paragraph
  kLineBreak,  // a line that was meant to end there
  kParagraph,
};

// The words of a document, to tell a hyphen of the line's end from one of the word.
class Vocabulary final {
 public:
  void Add(const Line& line);
  // `left` ends with a hyphen, `right` begins with a letter.
  [[nodiscard]] Join JoinHyphenated(std::u32string_view left, std::u32string_view right) const;

 private:
  absl::flat_hash_set<std::u32string> words_;  // lower case; hyphenated ones whole, and of their parts nothing
};

// What the lines of a page's body have in common.
struct PageMetrics {
  float leading = 0;    // from line to line in the running text; 0: unknown
  float font_size = 0;  // of most of its characters; 0: unknown
};
[[nodiscard]] PageMetrics MeasurePage(const std::vector<const Line*>& body);

// For each line of a page's body where the column it stands in ends (u_max of its block, u_min for right to left).
[[nodiscard]] std::vector<float> ColumnEnds(const std::vector<const Line*>& body);

// `column_end` is that of `line`; both lines are of the same page.
[[nodiscard]] Join JoinOf(const Line& line, float column_end, const Line& next, const PageMetrics& metrics,
                          const Vocabulary& vocabulary);
// The last line of a page and the first of the next.
[[nodiscard]] Join JoinOverPages(const Line& line, float column_end, const Line& next, const Vocabulary& vocabulary);

}  // namespace carrel::retrieval
