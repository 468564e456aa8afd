// The small parts: terms, fusion, filters, markers, the vector index.
#include <cmath>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "retrieval/annotate.h"
#include "retrieval/filter.h"
#include "retrieval/fusion.h"
#include "retrieval/terms.h"

namespace carrel::retrieval {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(TermsTest, WordsAreFoldedAndStemmed) {
  EXPECT_THAT(Terms("The Runners were RUNNING"), ElementsAre("the", "runner", "were", "run"));
  EXPECT_EQ(Terms("Ångström naïve CAFÉ"), Terms("angstrom naive cafe"));
  EXPECT_EQ(Terms("ﬁnal ｆｕｌｌ"), Terms("final full"));
  EXPECT_THAT(Terms("John's book"), ElementsAre("john", "book"));
  EXPECT_THAT(Terms("snake_case kebab-case"), ElementsAre("snake", "case", "kebab", "case"));
  EXPECT_THAT(Terms("  ... !!! \"'"), IsEmpty());
  EXPECT_THAT(Terms(""), IsEmpty());
}

TEST(TermsTest, NumbersStayWhole) {
  EXPECT_THAT(Terms("3.5 and 3.5"), SizeIs(3));
  EXPECT_NE(Terms("3.5")[0], Terms("35")[0]);
}

TEST(TermsTest, ScriptsWithoutSpacesAreBigrams) {
  EXPECT_THAT(Terms("東京都"), ElementsAre("東京", "京都"));
  EXPECT_THAT(Terms("機械学習とは"), ElementsAre("機械", "械学", "学習", "習と", "とは"));
  EXPECT_THAT(Terms("木"), ElementsAre("木"));
  EXPECT_THAT(Terms("한국어 문서"), ElementsAre("한국", "국어", "문서"));
  EXPECT_THAT(Terms("GPU計算"), ElementsAre("gpu", "計算"));
  EXPECT_THAT(Terms("ガラス"), ElementsAre("ガラ", "ラス"));
}

TEST(TermsTest, FunctionWordsAreNotSearchedAlone) {
  EXPECT_THAT(QueryTerms("What is the boiling point of the oil?"), ElementsAre("boil", "point", "oil"));
  EXPECT_THAT(QueryTerms("to be or not to be"), ElementsAre("to", "be", "or", "not"));
  EXPECT_THAT(QueryTerms("oil oil OIL"), ElementsAre("oil"));
}

TEST(TermsTest, TermsNeverHoldWhatTheIndexWouldSplit) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) text.push_back(static_cast<char>(random() % 256));
    for (const std::string& term : Terms(text)) {
      ASSERT_FALSE(term.empty());
      for (const char c : term) {
        const auto u = static_cast<unsigned char>(c);
        EXPECT_TRUE(u >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) << int{u};
      }
    }
  }
}

TEST(FusionTest, FirstInAllListsIsOne) {
  const std::vector<FusedItem> fused = Fuse({{.weight = 0.6, .ids = {7, 8}}, {.weight = 0.4, .ids = {7, 9}}}, 60);
  ASSERT_THAT(fused, SizeIs(3));
  EXPECT_EQ(fused[0].id, 7);
  EXPECT_DOUBLE_EQ(fused[0].score, 1);
  EXPECT_EQ(fused[1].id, 8);  // the heavier leg's second
  EXPECT_NEAR(fused[1].score, 0.6 / 62 / (1.0 / 61), 1e-12);
}

TEST(FusionTest, ALegOfNoWeightIsLeftOut) {
  const std::vector<FusedItem> fused = Fuse({{.weight = 1, .ids = {1}}, {.weight = 0, .ids = {2}}}, 60);
  ASSERT_THAT(fused, SizeIs(1));
  EXPECT_DOUBLE_EQ(fused[0].score, 1);
  EXPECT_THAT(Fuse({}, 60), IsEmpty());
}

TEST(FusionTest, ListsOfWhichOneHoldsAnItemShareTheirBest) {
  const std::vector<FusedItem> fused = Fuse({{.weight = 0.6, .ids = {1, 2}},
                                             {.weight = 0.6, .ids = {3, 4}, .instead_of_previous = true},
                                             {.weight = 0.4, .ids = {3, 1}}},
                                            60);
  ASSERT_THAT(fused, SizeIs(4));
  EXPECT_EQ(fused[0].id, 3);
  EXPECT_DOUBLE_EQ(fused[0].score, 1);
  EXPECT_EQ(fused[1].id, 1);
  EXPECT_DOUBLE_EQ(fused[2].score, fused[3].score);
}

Filter Compare(std::string key, Comparison::Operator op, std::vector<AttributeValue> values) {
  return {.kind = Comparison{.key = std::move(key), .op = op, .values = std::move(values)}};
}

TEST(FilterTest, EveryOperator) {
  using Op = Comparison::Operator;
  const Attributes attributes = {{"year", 2020.0}, {"kind", std::string("book")}, {"open", true}};
  EXPECT_TRUE(Holds(Compare("year", Op::kEq, {2020.0}), attributes));
  EXPECT_FALSE(Holds(Compare("year", Op::kEq, {2021.0}), attributes));
  EXPECT_TRUE(Holds(Compare("year", Op::kNe, {2021.0}), attributes));
  EXPECT_TRUE(Holds(Compare("year", Op::kGt, {2019.0}), attributes));
  EXPECT_FALSE(Holds(Compare("year", Op::kGt, {2020.0}), attributes));
  EXPECT_TRUE(Holds(Compare("year", Op::kGte, {2020.0}), attributes));
  EXPECT_TRUE(Holds(Compare("year", Op::kLt, {2021.0}), attributes));
  EXPECT_TRUE(Holds(Compare("year", Op::kLte, {2020.0}), attributes));
  EXPECT_TRUE(Holds(Compare("kind", Op::kIn, {std::string("film"), std::string("book")}), attributes));
  EXPECT_FALSE(Holds(Compare("kind", Op::kNin, {std::string("book")}), attributes));
  EXPECT_TRUE(Holds(Compare("kind", Op::kGt, {std::string("apple")}), attributes));
  EXPECT_TRUE(Holds(Compare("open", Op::kEq, {true}), attributes));
  EXPECT_FALSE(Holds(Compare("open", Op::kGt, {false}), attributes));
  EXPECT_FALSE(Holds(Compare("year", Op::kEq, {std::string("2020")}), attributes));  // another type
  EXPECT_FALSE(Holds(Compare("none", Op::kEq, {1.0}), attributes));
  EXPECT_FALSE(Holds(Compare("none", Op::kLt, {1.0}), attributes));
  EXPECT_TRUE(Holds(Compare("none", Op::kNe, {1.0}), attributes));
  EXPECT_TRUE(Holds(Compare("none", Op::kNin, {1.0}), attributes));
}

TEST(FilterTest, AndOr) {
  using Op = Comparison::Operator;
  const Attributes attributes = {{"a", 1.0}, {"b", 2.0}};
  const Filter yes = Compare("a", Op::kEq, {1.0}), no = Compare("b", Op::kEq, {1.0});
  EXPECT_FALSE(Holds({.kind = Compound{.op = Compound::Operator::kAnd, .filters = {yes, no}}}, attributes));
  EXPECT_TRUE(Holds({.kind = Compound{.op = Compound::Operator::kOr, .filters = {yes, no}}}, attributes));
}

TEST(AnnotateTest, MarkersAreFoundByCodePoints) {
  const std::vector<Marker> markers = FindMarkers("Größe 【0:1†a.pdf】【12:7†b】 end", 2);
  ASSERT_THAT(markers, SizeIs(2));
  EXPECT_EQ(markers[0].span, (Span{6, 17}));
  EXPECT_EQ(markers[0].text, "【0:1†a.pdf】");
  EXPECT_EQ(markers[0].hit, 1u);
  EXPECT_EQ(markers[1].span, (Span{17, 25}));
  EXPECT_FALSE(markers[1].hit.has_value());
}

TEST(AnnotateTest, OfMarkersWithinEachOtherTheInnerOneCounts) {
  const std::vector<Marker> markers = FindMarkers("【1:0†【1:0†y】", 1);
  ASSERT_THAT(markers, SizeIs(1));
  EXPECT_EQ(markers[0].text, "【1:0†y】");
  EXPECT_EQ(markers[0].span, (Span{5, 12}));
}

TEST(AnnotateTest, WhatOnlyLooksLikeAMarkerIsLeftAlone) {
  for (const char* text :
       {"【】", "【note】", "【1】", "【1:†x】", "【a:b†x】", "【1:2 x】", "【1:2†never closed", "[1:2†x]"}) {
    EXPECT_THAT(FindMarkers(text, 9), IsEmpty()) << text;
  }
  EXPECT_THAT(FindMarkers("【1:99999999999999†x】", 9), SizeIs(1));  // names no hit
  EXPECT_THAT(FindMarkers("【 【0:0】", 1), SizeIs(1));
}

}  // namespace
}  // namespace carrel::retrieval
