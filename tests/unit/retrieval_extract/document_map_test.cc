// Spans to pages, boxes and headings; stored pages; UTF-8.
#include <gtest/gtest.h>

#include <random>

#include "retrieval/document_text.h"

namespace carrel::retrieval {
namespace {

Page MakePage(uint32_t number, Span body) {
  Page page{.number = number, .label = "p" + std::to_string(number), .width = 595.28F, .height = 841.89F, .body = body};
  for (uint32_t at = body.begin; at + 4 <= body.end; at += 5) {
    const uint32_t index = (at - body.begin) / 5;
    const float x = 50 + 100 * static_cast<float>(index % 3);
    const float y = 60 + 14 * static_cast<float>(index / 3);
    page.words.push_back({.span = {at, at + 4}, .line = index / 3, .box = {x, y, x + 80, y + 11.3F}});
  }
  return page;
}

TEST(DocumentMap, OneBoxPerLine) {
  const std::vector<Page> pages = {MakePage(1, {0, 44}), MakePage(2, {45, 89})};
  const auto boxes = BoxesOf(pages, {5, 24});
  ASSERT_EQ(boxes.size(), 2U);
  EXPECT_EQ(boxes[0], (PageBox{1, {150, 60, 330, 71.3F}}));
  EXPECT_EQ(boxes[1], (PageBox{1, {50, 74, 230, 85.3F}}));
  EXPECT_EQ(BoxesOf(pages, {40, 50}).back().page, 2U);
  EXPECT_EQ(BoxesOf(pages, {6, 7}).size(), 1U) << "part of a word";
  EXPECT_TRUE(BoxesOf(pages, {4, 5}).empty()) << "white space";
}

TEST(DocumentMap, PagesOfASpan) {
  const std::vector<Page> pages = {MakePage(1, {0, 44}), MakePage(2, {45, 45}), MakePage(3, {45, 89})};
  const auto range = [&](Span span) {
    const PageRange found = PagesOf(pages, span);
    return std::pair(pages[found.first].number, pages[found.last].number);
  };
  EXPECT_EQ(range({0, 4}), std::pair(1U, 1U));
  EXPECT_EQ(range({40, 50}), std::pair(1U, 3U));
  EXPECT_EQ(range({45, 49}), std::pair(3U, 3U)) << "not the empty page before it";
  EXPECT_EQ(range({44, 45}), std::pair(1U, 1U)) << "white space belongs to the earlier";
}

TEST(DocumentMap, HeadingsAreNested) {
  const std::vector<Heading> headings = {{{10, 12}, 1, "One"},
                                         {{20, 22}, 2, "Inner"},
                                         {{30, 32}, 3, "Innermost"},
                                         {{40, 42}, 2, "Next"},
                                         {{50, 52}, 1, "Two"}};
  EXPECT_EQ(HeadingAt(headings, 9), -1);
  EXPECT_EQ(HeadingAt(headings, 10), 0);
  EXPECT_EQ(HeadingPath(headings, 5), "");
  EXPECT_EQ(HeadingPath(headings, 35), "One > Inner > Innermost");
  EXPECT_EQ(HeadingPath(headings, 45), "One > Next");
  EXPECT_EQ(HeadingPath(headings, 99), "Two");
}

TEST(DocumentMap, StoredPagesComeBack) {
  Page page = MakePage(70'000, {1'000'000, 1'000'400});
  page.margin = {2'000'000, 2'000'009};
  page.words.push_back({.span = {2'000'000, 2'000'009}, .line = 900, .box = {595, 840, 595.28F, 841.89F}});
  const auto back = DecodePage(EncodePage(page));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->label, page.label);
  EXPECT_EQ(back->body, page.body);
  EXPECT_EQ(back->margin, page.margin);
  ASSERT_EQ(back->words.size(), page.words.size());
  for (size_t i = 0; i < page.words.size(); ++i) {
    EXPECT_EQ(back->words[i].span, page.words[i].span);
    EXPECT_EQ(back->words[i].line, page.words[i].line);
    EXPECT_NEAR(back->words[i].box.x_min, page.words[i].box.x_min, 0.06);
    EXPECT_LE(back->words[i].box.y_max, page.height);
  }
}

TEST(DocumentMap, PagesThatWereStoredBeforeRecognitionComeBackToo) {
  Page page = MakePage(7, {100, 190});
  page.recognised = true;
  std::string stored = EncodePage(page);
  const auto recognised = DecodePage(stored);
  ASSERT_TRUE(recognised.ok());
  EXPECT_TRUE(recognised->recognised);
  // Format 1 is format 2 without its flags.
  stored[0] = 1;
  stored.erase(1, 1);
  const auto before = DecodePage(stored);
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_FALSE(before->recognised);
  EXPECT_EQ(before->words.size(), page.words.size());
}

TEST(DocumentMap, ADamagedStoredPageIsAnErrorNotACrash) {
  const std::string good = EncodePage(MakePage(1, {0, 100}));
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(DecodePage(good.substr(0, size)).ok()) << size;
  EXPECT_FALSE(DecodePage(good + "x").ok());
  std::mt19937 random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::string bad = good;
    bad[random() % bad.size()] = static_cast<char>(random());
    const auto page = DecodePage(bad);
    if (!page.ok()) continue;
    for (const Word& word : page->words) {
      ASSERT_LE(word.span.begin, word.span.end);
      ASSERT_LE(word.box.x_max, page->width);
      ASSERT_LE(word.box.y_max, page->height);
    }
  }
}

TEST(Utf8, GoesBothWays) {
  const std::u32string text = U"a\u00E9\u05D0\u3042\U0001F642";
  EXPECT_TRUE(*FromUtf8(ToUtf8(text)) == text);
  EXPECT_EQ(FromUtf8("ab\xC3(").status().message(), "not UTF-8 at byte 2");
  EXPECT_FALSE(FromUtf8("\xED\xA0\x80").ok()) << "a surrogate";
  EXPECT_FALSE(FromUtf8("\xF4\x90\x80\x80").ok()) << "beyond Unicode";
}

}  // namespace
}  // namespace carrel::retrieval
