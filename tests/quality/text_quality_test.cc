// How well the text of a PDF is what a reader reads in it: PDFs of known text (tests/support/pdf/make_quality.py), set
// with what makes reading hard, through the real extractor. Measured per document against its text in reading order:
//
//   characters  edit distance of characters (white space as single spaces), per character of the true text
//   words       edit distance of words, in order
//   unordered   words that are missing or wrong, wherever they stand; `words` above it is what stands in the wrong
//   place
//
// What is below a limit today and above it tomorrow is a change for the worse: the work is deterministic.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "extract_file.h"
#include "gtest/gtest.h"

namespace carrel::retrieval {
namespace {

template <typename Sequence>
size_t EditDistance(const Sequence& a, const Sequence& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

std::vector<std::u32string> WordsOf(const std::u32string& text) {
  std::vector<std::u32string> words(1);
  for (const char32_t c : text) {
    if (c == U' ' || c == U'\n') {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back().push_back(c);
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::u32string Joined(const std::vector<std::u32string>& words) {
  std::u32string text;
  for (const std::u32string& word : words) text += (text.empty() ? U"" : U" ") + word;
  return text;
}

// Of the true words, how many the text lacks; and what it has too much.
size_t UnorderedErrors(const std::vector<std::u32string>& truth, const std::vector<std::u32string>& found) {
  std::map<std::u32string, int> counts;
  for (const std::u32string& word : truth) ++counts[word];
  for (const std::u32string& word : found) --counts[word];
  size_t missing = 0;
  size_t extra = 0;
  for (const auto& [word, count] : counts) (count > 0 ? missing : extra) += static_cast<size_t>(std::abs(count));
  return std::max(missing, extra);
}

// Rates in per mille; a limit of 0 says that the text must be exactly right.
struct Limits {
  double characters = 0;
  double words = 0;
  double unordered = 0;
};

struct Case {
  const char* name;
  Limits limits;
  const char* reason;  // why the limits are not 0
};

class TextQuality : public ::testing::TestWithParam<Case> {};

TEST_P(TextQuality, StaysWithinItsLimits) {
  const std::string path = std::string(CARREL_TESTDATA "/pdf/quality/") + GetParam().name;
  std::ifstream in(path + ".txt");
  std::ostringstream truth_utf8;
  truth_utf8 << in.rdbuf();
  const std::vector<std::u32string> truth = WordsOf(*FromUtf8(truth_utf8.str()));
  ASSERT_FALSE(truth.empty());
  const auto extraction = testing::ExtractFile(path + ".pdf");
  ASSERT_TRUE(extraction.ok()) << extraction.status();
  ASSERT_EQ(extraction->verdict, Verdict::kRead) << extraction->message;
  const ExtractedDocument& document = extraction->document;
  const std::vector<std::u32string> found = WordsOf(document.text.substr(0, document.body_end));

  const auto per_mille = [](size_t errors, size_t all) {
    return 1000.0 * static_cast<double>(errors) / static_cast<double>(all);
  };
  const std::u32string true_text = Joined(truth);
  const Limits measured{.characters = per_mille(EditDistance(true_text, Joined(found)), true_text.size()),
                        .words = per_mille(EditDistance(truth, found), truth.size()),
                        .unordered = per_mille(UnorderedErrors(truth, found), truth.size())};
  std::printf("%-22s characters %6.1f  words %6.1f  unordered %6.1f per mille\n", GetParam().name, measured.characters,
              measured.words, measured.unordered);
  const Limits& limits = GetParam().limits;
  EXPECT_LE(measured.characters, limits.characters) << GetParam().reason;
  EXPECT_LE(measured.words, limits.words) << GetParam().reason;
  EXPECT_LE(measured.unordered, limits.unordered) << GetParam().reason;
  if (measured.characters > limits.characters) std::printf("%s\n", ToUtf8(Joined(found)).c_str());
}

INSTANTIATE_TEST_SUITE_P(
    All, TextQuality,
    ::testing::Values(
        Case{"drop_cap", {}, "a large first letter belongs to its word"},
        Case{"east_asian_columns", {}, "lines of Chinese and Japanese join without spaces"},
        Case{"figure_in_column",
             {.characters = 84, .words = 86, .unordered = 0},
             "each column is read to its end: the caption at the foot of the left one comes before the sentence goes "
             "on"},
        Case{"footnote_marks", {}, "raised numbers stay where they are, notes keep theirs"},
        Case{"heads_and_feet", {}, "sentences run on over the page, heads and feet are not within them"},
        Case{"key_columns", {}, "keys stand before what they mean"},
        Case{"margin_notes", {}, "a note stands before its paragraph, not within its lines"},
        Case{"mixed_directions", {}, "Hebrew and Arabic within English and the other way round"},
        Case{"nested_lists", {}, "bullets stand before their items"}, Case{"raised_and_lowered", {}, "H2O is one word"},
        Case{"right_to_left",
             {.characters = 3.5, .words = 17, .unordered = 17},
             "the zero-width non-joiner within one Persian word is in no glyph, so it is in no PDF of this producer"},
        Case{"rotated_table", {}, "a sideways table is read row by row"},
        Case{"ruled_table", {}, "rows from left to right"},
        Case{"spaced_headings", {}, "letter-spaced and small-capital headings are words"},
        Case{"three_narrow_columns", {}, "ragged lines of narrow columns make paragraphs"}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace carrel::retrieval
