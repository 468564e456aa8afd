// Words to text: joins, repairs, right-to-left, margins, headings.
#include "retrieval/document_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Lines of words on a page of 600 x 800, six points a character, as Poppler would hand them over.
class PageMaker final {
 public:
  explicit PageMaker(uint32_t number) { page_ = {.number = number, .width = 600, .height = 800}; }

  PageMaker& Line(std::u32string_view text, float x, float y, float size = 10, bool bold = false) {
    while (!text.empty()) {
      const size_t end = std::min(text.find(U' '), text.size());
      RawWord word;
      word.chars.begin = static_cast<uint32_t>(page_.chars.size());
      page_.chars += text.substr(0, end);
      word.chars.end = static_cast<uint32_t>(page_.chars.size());
      const float width = 6 * static_cast<float>(end);
      word.box = {x, y, x + width, y + size};
      word.font_size = size;
      word.bold = bold;
      word.space_after = end < text.size();
      page_.words.push_back(word);
      x += width + 3;
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return *this;
  }
  RawPage Take() { return std::move(page_); }

 private:
  RawPage page_;
};

ExtractedDocument Build(std::vector<RawPage> pages, std::vector<RawOutlineItem> outline = {}) {
  RawDocument raw;
  raw.begun = true;
  raw.pages_in_all = static_cast<uint32_t>(pages.size());
  raw.pages = std::move(pages);
  raw.outline = std::move(outline);
  return BuildDocument(std::move(raw));
}

std::string Body(const ExtractedDocument& document) {
  return ToUtf8(std::u32string_view(document.text).substr(0, document.body_end));
}
std::string BodyOf(PageMaker page) { return Body(Build({page.Take()})); }

TEST(DocumentBuilder, JoinsLinesOfAParagraphWithSpaces) {
  EXPECT_EQ(BodyOf(PageMaker(1).Line(U"the quick brown fox jumps", 50, 200).Line(U"over the lazy dog", 50, 212)),
            "the quick brown fox jumps over the lazy dog");
}

TEST(DocumentBuilder, AWideGapOrAnotherSizeBeginsAParagraph) {
  EXPECT_EQ(BodyOf(PageMaker(1)
                       .Line(U"one line of text here", 50, 200)
                       .Line(U"and one more of them.", 50, 212)
                       .Line(U"After a gap comes text", 50, 240)
                       .Line(U"which goes on here too", 50, 252)),
            "one line of text here and one more of them.\n\nAfter a gap comes text which goes on here too");
}

TEST(DocumentBuilder, DropsTheTypesettersHyphen) {
  EXPECT_EQ(BodyOf(PageMaker(1).Line(U"this is a measure-", 50, 200).Line(U"ment of length here", 50, 212)),
            "this is a measurement of length here");
}

TEST(DocumentBuilder, KeepsTheHyphenOfAWordSeenWithIt) {
  EXPECT_EQ(
      BodyOf(PageMaker(1).Line(U"a well-known man is well-", 50, 200).Line(U"known to all men here now", 50, 212)),
      "a well-known man is well-known to all men here now");
}

TEST(DocumentBuilder, KeepsTheHyphenBeforeACapitalAndBetweenNumbers) {
  EXPECT_EQ(BodyOf(PageMaker(1)
                       .Line(U"of the Anglo-", 50, 200)
                       .Line(U"Saxon kings in 1020-", 50, 212)
                       .Line(U"1030 or so", 50, 224)),
            "of the Anglo-Saxon kings in 1020-1030 or so");
}

TEST(DocumentBuilder, AHyphenatedWordHasABoxOnEachLine) {
  const ExtractedDocument document =
      Build({PageMaker(1).Line(U"a measure-", 50, 200).Line(U"ment of it", 50, 212).Take()});
  const size_t at = document.text.find(U"measurement");
  ASSERT_NE(at, std::u32string::npos);
  const auto boxes = BoxesOf(
      document.pages, {static_cast<uint32_t>(at), static_cast<uint32_t>(at + std::string("measurement").size())});
  ASSERT_EQ(boxes.size(), 2U);
  EXPECT_EQ(boxes[0].box.y_min, 200);
  EXPECT_EQ(boxes[1].box.y_min, 212);
}

TEST(DocumentBuilder, ASentenceGoesOnOverThePage) {
  const ExtractedDocument document = Build({PageMaker(1).Line(U"the captain of the exam-", 50, 400).Take(),
                                            PageMaker(2).Line(U"ple ship came home", 50, 200).Take()});
  EXPECT_EQ(Body(document), "the captain of the example ship came home");
  const PageRange pages = PagesOf(document.pages, {0, document.body_end});
  EXPECT_EQ(pages.first, 0U);
  EXPECT_EQ(pages.last, 1U);
}

TEST(DocumentBuilder, FoldsLatinLigaturesOnly) {
  EXPECT_EQ(BodyOf(PageMaker(1).Line(U"o\uFB03ce \uFB01le \uFB02ow \u00BD \uFF21", 50, 200)), "office file flow ½ Ａ");
}

TEST(DocumentBuilder, DropsWhatCannotBeSeen) {
  EXPECT_EQ(BodyOf(PageMaker(1).Line(U"a\u200Bb \u0007 c\u00ADd \uFEFF e", 50, 200)), "ab cd e");
}

TEST(DocumentBuilder, TurnsRightToLeftText) {
  // As glyphs from left to right: "(21) םולש" is shalom (21).
  EXPECT_EQ(BodyOf(PageMaker(1).Line(U"(21) \u05DD\u05D5\u05DC\u05E9 \u05D0\u05D1", 50, 200)), "בא שלום (21)");
}

TEST(DocumentBuilder, LinesOfUnspacedScriptsJoinWithoutASpace) {
  EXPECT_EQ(BodyOf(PageMaker(1).Line(U"川の近くに古い", 50, 200).Line(U"図書館がある。", 50, 212)),
            "川の近くに古い図書館がある。");
}

TEST(DocumentBuilder, DropsDotLeaders) {
  EXPECT_EQ(BodyOf(PageMaker(1).Line(U"Bridges . . . . . . . . 12", 50, 200)), "Bridges 12");
}

TEST(DocumentBuilder, RunningHeadsStandBehindTheBody) {
  std::vector<RawPage> pages;
  const std::u32string_view words[] = {U"alpha", U"beta", U"gamma", U"delta"};
  for (uint32_t i = 1; i <= 4; ++i) {
    RawPage page = PageMaker(i)
                       .Line(U"A history of bridges", 50, 30)
                       .Line(std::u32string(words[i - 1]) + U" stands in the body of a page", 50, 200)
                       .Line(std::u32string(1, static_cast<char32_t>(U'0' + i)), 300, 770)
                       .Take();
    pages.push_back(std::move(page));
  }
  const ExtractedDocument document = Build(std::move(pages));
  EXPECT_THAT(Body(document), Not(HasSubstr("history")));
  EXPECT_THAT(Body(document), HasSubstr("gamma stands"));
  for (const Page& page : document.pages) {
    const std::string margin = ToUtf8(std::u32string_view(document.text).substr(page.margin.begin, page.margin.size()));
    EXPECT_EQ(margin, "A history of bridges\n" + std::to_string(page.number));
    EXPECT_EQ(PagesOf(document.pages, page.margin).first + 1, page.number);
    EXPECT_EQ(BoxesOf(document.pages, page.margin).size(), 2U);
  }
}

TEST(DocumentBuilder, ADocumentOfNothingButMarginsIsReadAsItStands) {
  std::vector<RawPage> pages;
  for (uint32_t i = 1; i <= 3; ++i) pages.push_back(PageMaker(i).Line(U"one slide", 50, 30).Take());
  EXPECT_THAT(Body(Build(std::move(pages))), HasSubstr("one slide"));
}

TEST(DocumentBuilder, TheOutlineNamesHeadingsInTheBodyNotInTheContents) {
  const auto contents = PageMaker(1).Line(U"1 Rivers", 50, 200).Line(U"2 Bridges", 50, 230).Take();
  const auto body = PageMaker(2)
                        .Line(U"1 Rivers", 50, 200, 16, true)
                        .Line(U"they flow on and on and on", 50, 240)
                        .Line(U"2 Bridges", 50, 300, 16, true)
                        .Line(U"they stand still and wait", 50, 340)
                        .Take();
  const ExtractedDocument document =
      Build({contents, body},
            {{.level = 1, .title = "1 Rivers"}, {.level = 2, .title = "Bridges"}, {.level = 1, .title = "Gone"}});
  ASSERT_EQ(document.headings.size(), 2U);
  EXPECT_EQ(document.headings[0].title, "1 Rivers");
  EXPECT_EQ(PagesOf(document.pages, document.headings[0].span).first, 1U);
  EXPECT_EQ(document.headings[1].level, 2);
  EXPECT_EQ(HeadingPath(document.headings, document.body_end - 1), "1 Rivers > Bridges");
  EXPECT_EQ(HeadingPath(document.headings, 0), "");
}

TEST(DocumentBuilder, WithoutOutlineLargeTypeIsAHeading) {
  PageMaker page(1);
  page.Line(U"On bridges", 50, 150, 18);
  for (int i = 0; i < 8; ++i) page.Line(U"some running text of a page", 50, 200 + 12 * static_cast<float>(i));
  const ExtractedDocument document = Build({page.Take()});
  ASSERT_EQ(document.headings.size(), 1U);
  EXPECT_EQ(document.headings[0].title, "On bridges");
}

RawDocument Text(std::u32string text, wire::DocumentType type) {
  RawDocument raw;
  raw.begun = true;
  raw.type = type;
  raw.text = std::move(text);
  return raw;
}

TEST(DocumentBuilder, TextKeepsItsLinesWithPlainNewlines) {
  const ExtractedDocument document = BuildDocument(Text(U"one\r\ntwo\rthree\n", wire::DocumentType::kText));
  EXPECT_EQ(Body(document), "one\ntwo\nthree\n");
  ASSERT_EQ(document.pages.size(), 1U);
  EXPECT_EQ(document.pages[0].label, "1");
  EXPECT_TRUE(BoxesOf(document.pages, {0, 3}).empty());
}

TEST(DocumentBuilder, MarkdownHeadings) {
  const ExtractedDocument document =
      BuildDocument(Text(U"# On bridges #\n\ntext\n\n```\n# no heading\n```\n\n## Of stone\ntext\n#hashtag\n\nUnder "
                         U"lined\n===\n| a |\n---\n",
                         wire::DocumentType::kMarkdown));
  ASSERT_EQ(document.headings.size(), 3U);
  EXPECT_EQ(document.title, "On bridges");
  EXPECT_EQ(document.headings[1].title, "Of stone");
  EXPECT_EQ(document.headings[1].level, 2);
  EXPECT_EQ(document.headings[2].title, "Under lined");
  EXPECT_EQ(document.headings[2].level, 1);
}

}  // namespace
}  // namespace carrel::retrieval
