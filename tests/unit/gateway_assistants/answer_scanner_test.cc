#include "gateway/assistants/answer_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace carrel::gateway {
namespace {

using Kind = AnswerSegment::Kind;
using ::testing::ElementsAre;

std::vector<AnswerSegment> Scan(std::string_view text, std::size_t piece) {
  AnswerScanner scanner;
  std::vector<AnswerSegment> all;
  const auto add = [&](std::vector<AnswerSegment> more) {
    for (AnswerSegment& segment : more) {
      if (segment.kind == Kind::kText && !all.empty() && all.back().kind == Kind::kText) {
        all.back().text += segment.text;
      } else {
        all.push_back(std::move(segment));
      }
    }
  };
  for (std::size_t at = 0; at < text.size(); at += piece) add(scanner.Feed(text.substr(at, piece)));
  add(scanner.Finish());
  return all;
}

TEST(AnswerScanner, FindsTheSameHoweverItIsCut) {
  constexpr std::string_view kText =
      "Ab 【0:1†a.txt】, see [x](sandbox:/mnt/data/my file.csv). Or sandbox:/mnt/data/b.png! 【unclosed 【1:0†c】 "
      "sandbox:/";
  for (std::size_t size = 1; size <= kText.size(); ++size) {
    EXPECT_THAT(
        Scan(kText, size),
        ElementsAre(AnswerSegment{Kind::kText, "Ab "}, AnswerSegment{Kind::kMarker, "【0:1†a.txt】"},
                    AnswerSegment{Kind::kText, ", see [x]("},
                    AnswerSegment{Kind::kLink, "sandbox:/mnt/data/my file.csv"}, AnswerSegment{Kind::kText, "). Or "},
                    AnswerSegment{Kind::kLink, "sandbox:/mnt/data/b.png"}, AnswerSegment{Kind::kText, "! 【unclosed "},
                    AnswerSegment{Kind::kMarker, "【1:0†c】"}, AnswerSegment{Kind::kText, " sandbox:/"}))
        << "pieces of " << size;
  }
}

TEST(AnswerScanner, ALinkAtTheEndIsOne) {
  EXPECT_THAT(Scan("sandbox:/mnt/data/a.csv", 4), ElementsAre(AnswerSegment{Kind::kLink, "sandbox:/mnt/data/a.csv"}));
  EXPECT_THAT(Scan("sandbox:/mnt/data/a.csv.", 4),
              ElementsAre(AnswerSegment{Kind::kLink, "sandbox:/mnt/data/a.csv"}, AnswerSegment{Kind::kText, "."}));
  EXPECT_THAT(Scan("sandbox:/mnt/data/", 4), ElementsAre(AnswerSegment{Kind::kText, "sandbox:/mnt/data/"}));
}

TEST(AnswerScanner, WhatNeverClosesIsText) {
  const std::string marker = "【" + std::string(2000, 'x') + "】";
  EXPECT_THAT(Scan(marker, 7), ElementsAre(AnswerSegment{Kind::kText, marker}));
  const std::string link = "(sandbox:/mnt/data/" + std::string(5000, 'x') + ")";
  EXPECT_THAT(Scan(link, 7), ElementsAre(AnswerSegment{Kind::kText, link}));
}

TEST(AnswerScanner, HoldsBackOnlyWhatItMust) {
  AnswerScanner scanner;
  EXPECT_THAT(scanner.Feed("word "), ElementsAre(AnswerSegment{Kind::kText, "word "}));
  EXPECT_THAT(scanner.Feed("s"), ElementsAre());
  EXPECT_THAT(scanner.Feed("o"), ElementsAre(AnswerSegment{Kind::kText, "so"}));
}

TEST(AnswerScanner, CountsCharacters) {
  EXPECT_EQ(CountCodePoints("aé【😀"), 4);
  EXPECT_EQ(UndoPercents("a%20b%C3%A9%zz%"), "a bé%zz%");
}

}  // namespace
}  // namespace carrel::gateway
