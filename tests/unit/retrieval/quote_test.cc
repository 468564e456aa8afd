// What of a sub-passage is quoted.
#include "quote.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "retrieval/document_text.h"
#include "retrieval/terms.h"

namespace carrel::retrieval {
namespace {

constexpr uint32_t kAt = 1000;  // where the sub-passage stands in its document

std::string Quote(std::string_view text, std::string_view question) {
  const std::u32string characters = *FromUtf8(text);
  const Span whole{kAt, kAt + static_cast<uint32_t>(characters.size())};
  const Span quote = NarrowToQuote(text, whole, QueryTerms(question));
  EXPECT_TRUE(whole.Contains(quote));
  return ToUtf8(std::u32string_view(characters).substr(quote.begin - kAt, quote.size()));
}

constexpr std::string_view kPump =
    "The pump stands in the cellar. It is driven by a belt. Oil the bearings every three months with light oil. The "
    "belt is changed once a year. Water must not stand in the pump in winter. The pump is painted green.";

TEST(NarrowToQuote, IsTheSentenceThatAnswers) {
  EXPECT_EQ(Quote(kPump, "How often are the bearings oiled?"),
            "Oil the bearings every three months with light oil.");
  EXPECT_EQ(Quote(kPump, "When is the belt changed?"), "The belt is changed once a year.");
}

TEST(NarrowToQuote, IsTheRunThatHasAllOfTheQuestionsWords) {
  EXPECT_EQ(Quote(kPump, "months between oiling the bearings and changing the belt, in a year"),
            "Oil the bearings every three months with light oil. The belt is changed once a year.");
}

TEST(NarrowToQuote, IsAllWhereNoWordOfTheQuestionIs) {
  EXPECT_EQ(Quote(kPump, "How is lubrication scheduled?"), kPump);
  EXPECT_EQ(Quote(kPump, ""), kPump);
}

TEST(NarrowToQuote, OfTablesIsTheRow) {
  std::string table = "place,height\n";
  for (int i = 0; i < 60; ++i) table += "station " + std::to_string(i) + "," + std::to_string(100 + i) + "\n";
  EXPECT_EQ(Quote(table, "height of station 41"), "station 41,141");
}

TEST(NarrowToQuote, CountsCharactersNotBytes) {
  EXPECT_EQ(Quote("Die Brücke ist alt. Die Fähre fährt täglich über den Fluß. Öl ist teuer.", "Fähre Fluß"),
            "Die Fähre fährt täglich über den Fluß.");
  EXPECT_EQ(Quote("橋は古い。船は毎朝島に着く。油は高い。", "毎朝 船"), "船は毎朝島に着く。");
}

TEST(NarrowToQuote, ALongSentenceWithoutLinesIsWhole) {
  std::string text = "It begins.";
  for (int i = 0; i < 200; ++i) text += " word" + std::to_string(i);
  text += ".";
  EXPECT_TRUE(Quote(text, "word7").ends_with("word199."));
}

TEST(NarrowToQuote, NothingIsNothing) { EXPECT_EQ(Quote("", "word"), ""); }

TEST(NarrowToQuote, ManyTermsAreTooMany) {
  std::string question;
  for (int i = 0; i < 200; ++i) question += "term" + std::to_string(i) + " ";
  EXPECT_EQ(Quote(kPump, question + "bearings"), kPump);
}

}  // namespace
}  // namespace carrel::retrieval
