#include "interpreter/engine/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace carrel::interpreter {
namespace {

constexpr const char* kBad = "\xEF\xBF\xBD";

TEST(Utf8, LeavesValidTextAlone) {
  const std::string text = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x8D\x8A";
  EXPECT_TRUE(IsUtf8(text));
  EXPECT_EQ(RepairUtf8(text), text);
}

TEST(Utf8, AnyCutGivesTheSameAsTheWhole) {
  const std::string text = "x\xFF\xC3\xA4\xE2\x82\xE2\x82\xAC\xF0\x9F\x8D\x8A\xED\xA0\x80\xC0\xAF\xF0\x9F";
  const std::string whole = RepairUtf8(text);
  EXPECT_TRUE(IsUtf8(whole));
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Repair repair;
    std::string pieces = repair.Feed(std::string_view(text).substr(0, cut));
    EXPECT_TRUE(IsUtf8(pieces)) << cut;
    pieces += repair.Feed(std::string_view(text).substr(cut));
    pieces += repair.Finish();
    EXPECT_EQ(pieces, whole) << cut;
  }
}

TEST(Utf8, OneReplacementForEachMaximalPart) {
  EXPECT_EQ(RepairUtf8("\xF0\x9F\x8D"), kBad);
  EXPECT_EQ(RepairUtf8("\xE2\x82z"), std::string(kBad) + "z");
  EXPECT_EQ(RepairUtf8("\xC0\x80"), std::string(kBad) + kBad) << "overlong";
  EXPECT_EQ(RepairUtf8("\xED\xA0\x80"), std::string(kBad) + kBad + kBad) << "a surrogate";
  EXPECT_EQ(RepairUtf8("\xF4\x90\x80\x80").substr(0, 3), kBad) << "over U+10FFFF";
}

TEST(Utf8, HoldsAnUnfinishedCharacterBack) {
  Utf8Repair repair;
  EXPECT_EQ(repair.Feed("a\xE2\x82"), "a");
  EXPECT_EQ(repair.Feed("\xAC"), "\xE2\x82\xAC");
  EXPECT_EQ(repair.Finish(), "");
}

}  // namespace
}  // namespace carrel::interpreter
