// What tesseract says, and what a taken-over one might.
#include "recognised_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;

constexpr char kHead[] =
    "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n";
constexpr RecognisedPicture kPicture{.width = 1200, .height = 1600};

RawPage Page() { return {.number = 1, .width = 600, .height = 800}; }

std::string Row(int level, int left, int top, int width, int height, const std::string& confidence = "-1",
                const std::string& text = "") {
  return std::to_string(level) + "\t1\t1\t1\t1\t1\t" + std::to_string(left) + "\t" + std::to_string(top) + "\t" +
         std::to_string(width) + "\t" + std::to_string(height) + "\t" + confidence + "\t" + text + "\n";
}

TEST(RecognisedWords, StandInPointsAndAreAsHighAsTheirLine) {
  RawPage page = Page();
  const std::string tsv = kHead + Row(1, 0, 0, 1200, 1600) + Row(2, 100, 200, 400, 80) + Row(3, 100, 200, 400, 80) +
                          Row(4, 100, 200, 400, 30) + Row(5, 100, 205, 80, 20, "96.5", "Two") +
                          Row(5, 200, 200, 100, 30, "95",
                              "gr\xC3\xBC\xC3\x9F"
                              "e") +
                          Row(4, 100, 250, 300, 30) + Row(5, 100, 250, 60, 30, "91.25", "more.") +
                          Row(5, 300, 250, 60, 30, "12", "~|");
  ASSERT_TRUE(PutRecognisedWords(tsv, kPicture, 100, page).ok());
  ASSERT_EQ(page.words.size(), 3U);
  EXPECT_EQ(ToUtf8(page.chars),
            "Twogr\xC3\xBC\xC3\x9F"
            "emore.");
  EXPECT_EQ(page.words[0].box, (Box{50, 100, 90, 115}));
  EXPECT_EQ(page.words[1].box, (Box{100, 100, 150, 115}));
  EXPECT_TRUE(page.words[0].space_after);
  EXPECT_FALSE(page.words[1].space_after);
  EXPECT_EQ(page.words[0].font_size, 15);
}

TEST(RecognisedWords, BoxesStayWithinThePage) {
  RawPage page = Page();
  const std::string tsv =
      Row(2, 0, 0, 9999, 9999) + Row(4, 1100, 1500, 9999, 9999) + Row(5, 1100, 1500, 9999, 9999, "90", "edge");
  ASSERT_TRUE(PutRecognisedWords(tsv, kPicture, 100, page).ok());
  EXPECT_EQ(page.words[0].box, (Box{550, 750, 600, 800}));
}

TEST(RecognisedWords, NonsenseIsRefusedAndChangesNothing) {
  const std::string line = Row(2, 0, 0, 10, 10) + Row(4, 0, 0, 10, 10);
  for (const auto& [tsv, part] : std::vector<std::pair<std::string, const char*>>{
           {"no end", "without an end"},
           {"a\tb\n", "no row"},
           {Row(5, 1, 1, 1, 1, "90", "word"), "outside a line"},
           {Row(4, 1, 1, 1, 1), "outside a block"},
           {line + Row(5, -1, 1, 1, 1, "90", "word"), "no row"},
           {line + Row(5, 1 << 25, 1, 1, 1, "90", "word"), "no row"},
           {line + Row(5, 1, 1, 1, 1, "nan?", "word"), "no row"},
           {line + Row(5, 1, 1, 1, 1, "90", "tab\tbed"), "no row"},
           {line + Row(5, 1, 1, 1, 1, "90", "\xFF\xFE"), "not UTF-8"},
           {line + Row(5, 1, 1, 1, 1, "90", std::string(5000, 'x')), "too long"},
           {line + Row(5, 1, 1, 1, 1, "90", "a") + Row(5, 1, 1, 1, 1, "90", "b") + Row(5, 1, 1, 1, 1, "90", "c"),
            "more words"}}) {
    RawPage page = Page();
    const absl::Status status = PutRecognisedWords(tsv, kPicture, 2, page);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << part;
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
    EXPECT_TRUE(page.words.empty() && page.chars.empty());
  }
}

}  // namespace
}  // namespace carrel::retrieval
