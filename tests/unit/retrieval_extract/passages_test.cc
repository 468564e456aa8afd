#include "retrieval/passages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "citation_properties.h"

namespace carrel::retrieval {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Split(std::u32string_view text) {
  std::vector<std::string> out;
  for (const Span& span : Sentences(text, {0, static_cast<uint32_t>(text.size())})) {
    out.push_back(ToUtf8(text.substr(span.begin, span.size())));
  }
  return out;
}

TEST(Sentences, EndAtFullStopsAndParagraphs) {
  EXPECT_THAT(Split(U"One is here. Two is there!  Three\nruns on? Four\n\nFive"),
              ElementsAre("One is here.", "Two is there!", "Three\nruns on?", "Four", "Five"));
}

TEST(Sentences, DoNotEndAtAbbreviationsInitialsAndNumbers) {
  EXPECT_THAT(Split(U"See Fig. 3 and Dr. Green, e.g. John M. Farmer. It is 3.5 m long."),
              ElementsAre("See Fig. 3 and Dr. Green, e.g. John M. Farmer.", "It is 3.5 m long."));
  EXPECT_THAT(Split(U"1. Begin here. 2. Then go on."), ElementsAre("1. Begin here.", "2. Then go on."));
}

TEST(Sentences, OfUnspacedScriptsAndBeyondTheBasicPlane) {
  EXPECT_THAT(Split(U"川の近くに図書館がある。冬は静かだ。"), ElementsAre("川の近くに図書館がある。", "冬は静かだ。"));
  EXPECT_THAT(Split(U"\U0001F642 smiles. \U0001F642 Again."), ElementsAre("\U0001F642 smiles.", "\U0001F642 Again."));
}

TEST(Sentences, OfNothing) { EXPECT_THAT(Split(U" \n\n \t"), IsEmpty()); }

ExtractedDocument Plain(std::u32string text) {
  ExtractedDocument document;
  document.text = std::move(text);
  document.body_end = static_cast<uint32_t>(document.text.size());
  document.pages.push_back({.number = 1, .label = "1", .body = {0, document.body_end}});
  return document;
}

uint32_t CountWords(std::string_view text) {
  uint32_t words = 0;
  bool within = false;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n';
    words += !blank && !within ? 1 : 0;
    within = !blank;
  }
  return words;
}

// Sentences of ten words.
std::u32string Prose(size_t sentences) {
  std::u32string text;
  for (size_t i = 0; i < sentences; ++i) text += U"The quiet river crosses the northern valley behind the station. ";
  return text;
}

Chunks MustChunk(const ExtractedDocument& document, const ChunkingOptions& options) {
  auto chunks = Chunk(document, options, CountWords);
  EXPECT_TRUE(chunks.ok()) << chunks.status();
  EXPECT_THAT(testing::FaultsOf(document, *chunks, options), IsEmpty());
  return *std::move(chunks);
}

TEST(Passages, SubPassagesAreWholeSentencesThatFitTheWindow) {
  const ExtractedDocument document = Plain(Prose(100));
  const Chunks chunks = MustChunk(document, {.max_tokens = 800, .overlap_tokens = 400, .window_tokens = 254});
  ASSERT_EQ(chunks.sub_passages.size(), 5U);
  for (const SubPassage& sub : chunks.sub_passages) {
    EXPECT_EQ(sub.tokens, 200U);
    EXPECT_EQ(document.text[sub.span.end - 1], U'.');
  }
}

TEST(Passages, EnclosingPassagesHaveTheSizeAndTheOverlapAskedFor) {
  const Chunks chunks = MustChunk(Plain(Prose(200)), {.max_tokens = 800, .overlap_tokens = 400, .window_tokens = 254});
  ASSERT_EQ(chunks.passages.size(), 4U);
  for (size_t i = 0; i < chunks.passages.size(); ++i) {
    EXPECT_EQ(chunks.passages[i].tokens, 800U);
    EXPECT_EQ(chunks.passages[i].first_sub, 2 * i);
  }
}

TEST(Passages, WithoutOverlapTheyFollowEachOther) {
  const Chunks chunks = MustChunk(Plain(Prose(200)), {.max_tokens = 800, .overlap_tokens = 0, .window_tokens = 254});
  ASSERT_EQ(chunks.passages.size(), 3U);
  EXPECT_EQ(chunks.passages[0].last_sub, chunks.passages[1].first_sub);
}

TEST(Passages, ASmallPassageBoundsItsSubPassages) {
  const Chunks chunks = MustChunk(Plain(Prose(60)), {.max_tokens = 100, .overlap_tokens = 50, .window_tokens = 254});
  for (const SubPassage& sub : chunks.sub_passages) EXPECT_LE(sub.tokens, 100U);
  for (const Passage& passage : chunks.passages) EXPECT_LE(passage.tokens, 100U);
}

TEST(Passages, ASentenceLongerThanTheWindowIsCutBetweenWords) {
  std::u32string text;
  for (int i = 0; i < 1000; ++i) text += i % 40 == 39 ? U"word, " : U"word ";
  const ExtractedDocument document = Plain(text + U"end.");
  const Chunks chunks = MustChunk(document, {.max_tokens = 800, .overlap_tokens = 400, .window_tokens = 100});
  EXPECT_GE(chunks.sub_passages.size(), 11U);
  for (const SubPassage& sub : chunks.sub_passages) {
    EXPECT_TRUE(sub.span.begin == 0 || document.text[sub.span.begin - 1] == U' ');
  }
}

TEST(Passages, AWordLongerThanTheWindowIsCutToo) {
  const auto by_character = [](std::string_view text) { return static_cast<uint32_t>(text.size()); };
  const ExtractedDocument document = Plain(std::u32string(5000, U'x'));
  const ChunkingOptions options{.max_tokens = 200, .overlap_tokens = 0, .window_tokens = 100};
  const auto chunks = Chunk(document, options, by_character);
  ASSERT_TRUE(chunks.ok());
  EXPECT_THAT(testing::FaultsOf(document, *chunks, options), IsEmpty());
}

TEST(Passages, ATokenizerThatCountsTooMuchForACharacterDoesNotHang) {
  const ExtractedDocument document = Plain(U"one two three");
  const auto chunks = Chunk(document, {}, [](std::string_view) { return 100'000U; });
  ASSERT_TRUE(chunks.ok());
  EXPECT_EQ(chunks->sub_passages.size(), 11U);
}

TEST(Passages, AHeadingBeginsASubPassage) {
  ExtractedDocument document = Plain(Prose(3) + U"\n\nPart One\nOn bridges\n\n" + Prose(3));
  const auto at = static_cast<uint32_t>(document.text.find(U"Part One"));
  const auto inner = static_cast<uint32_t>(document.text.find(U"On bridges"));
  document.headings = {{{at, at + 8}, 1, "Part One"}, {{inner, inner + 10}, 2, "On bridges"}};
  const Chunks chunks = MustChunk(document, {});
  ASSERT_EQ(chunks.sub_passages.size(), 2U);
  EXPECT_EQ(chunks.sub_passages[0].heading, -1);
  EXPECT_EQ(chunks.sub_passages[1].span.begin, at) << "both headings stand in it";
  EXPECT_EQ(chunks.sub_passages[1].heading, 1);
}

TEST(Passages, MarginsAreLeftOut) {
  ExtractedDocument document = Plain(Prose(2) + U"\nRunning head");
  document.body_end = static_cast<uint32_t>(document.text.find(U"Running"));
  document.pages[0].body.end = document.body_end;
  const Chunks chunks = MustChunk(document, {});
  EXPECT_LE(chunks.passages.back().span.end, document.body_end);
}

TEST(Passages, OfNothing) {
  EXPECT_THAT(MustChunk(Plain(U""), {}).passages, IsEmpty());
  EXPECT_THAT(MustChunk(Plain(U" \n\n "), {}).sub_passages, IsEmpty());
}

TEST(Passages, ContradictoryOptionsAreRefused) {
  const ExtractedDocument document = Plain(Prose(1));
  EXPECT_FALSE(Chunk(document, {.max_tokens = 8, .overlap_tokens = 0}, CountWords).ok());
  EXPECT_FALSE(Chunk(document, {.window_tokens = 4}, CountWords).ok());
  EXPECT_FALSE(Chunk(document, {.max_tokens = 800, .overlap_tokens = 401}, CountWords).ok());
}

}  // namespace
}  // namespace carrel::retrieval
