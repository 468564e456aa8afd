// The extractor's half of text files: its own sources, without a process.
#include "plain_text.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "retrieval/frame_decoder.h"
#include "utf.h"

namespace carrel::retrieval::extract {
namespace {

using ::testing::HasSubstr;
using wire::ExtractVerdict;

struct Result {
  Verdict verdict;
  std::string text;
  bool sent = false;
};

Result Extract(std::string_view bytes, wire::DocumentType type = wire::DocumentType::kText) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  FrameWriter out(ends[1], 1u << 20);
  out.Magic();
  Result result{.verdict = ExtractPlainText(bytes, type, out)};
  ::close(ends[1]);
  FrameDecoder decoder({});
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    EXPECT_TRUE(decoder.Feed({buffer, static_cast<size_t>(got)}).ok());
  }
  ::close(ends[0]);
  result.sent = decoder.document().begun;
  result.text = ToUtf8(decoder.document().text);
  return result;
}

std::string_view Bytes(const char* bytes, size_t size) { return {bytes, size}; }

TEST(PlainText, Utf8WithAndWithoutMark) {
  EXPECT_EQ(Extract("Grüße\n").text, "Grüße\n");
  EXPECT_EQ(Extract("\xEF\xBB\xBFGrüße").text, "Grüße");
  EXPECT_EQ(Extract("plain").verdict.verdict, ExtractVerdict::kRead);
}

TEST(PlainText, Utf16OfBothOrders) {
  EXPECT_EQ(Extract(Bytes("\xFF\xFEh\0i\0\x3D\xD8\x42\xDE", 10)).text, "hi\U0001F642");
  EXPECT_EQ(Extract(Bytes("\xFE\xFF\0h\0i", 6)).text, "hi");
}

TEST(PlainText, AnythingElseIsRefusedWithItsOffset) {
  const auto refused = [](std::string_view bytes) {
    const Result result = Extract(bytes);
    EXPECT_EQ(result.verdict.verdict, ExtractVerdict::kUnsupported);
    EXPECT_FALSE(result.sent);
    return result.verdict;
  };
  EXPECT_EQ(refused("caf\xE9 au lait").detail, 3U);
  EXPECT_THAT(refused("caf\xE9 au lait").sentence, HasSubstr("at byte 3"));
  EXPECT_EQ(refused(Bytes("ab\0cd", 5)).detail, 2U);
  EXPECT_EQ(refused(Bytes("\xFF\xFEh\0i", 5)).detail, 4U) << "half a unit";
  EXPECT_EQ(refused(Bytes("\xFF\xFEh\0\x3D\xD8", 6)).detail, 4U) << "half a pair";
  EXPECT_EQ(refused(Bytes("\xFF\xFE\x42\xDE", 4)).detail, 2U) << "a low surrogate";
  refused("%PDF-1.7\n");
}

TEST(PlainText, WhiteSpaceIsEmpty) { EXPECT_EQ(Extract(" \r\n\t").verdict.verdict, ExtractVerdict::kEmpty); }

TEST(Utf, FirstNotUtf8FollowsTheTableOfTheStandard) {
  for (const char* good : {"", "a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_FALSE(FirstNotUtf8(good).has_value());
  }
  for (const char* bad : {"\x80", "\xC1\xBF", "\xC2", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF"}) {
    EXPECT_EQ(FirstNotUtf8(bad), 0U);
  }
  EXPECT_EQ(FirstNotUtf8("ab\xE2\x82\xAC\xC3"), 5U);
}

TEST(Utf, WithoutFaults) {
  EXPECT_EQ(WithoutFaults("gr\xC3\xBC\xDF\xE2\x82x"), "gr\u00FC\uFFFD\uFFFD\uFFFDx");
  EXPECT_EQ(WithoutFaults("fine"), "fine");
}

TEST(FrameWriter, RefusesMoreThanTheLimitButHasRoomForTheVerdict) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  FrameWriter out(ends[1], 100);
  Payload payload;
  payload.Str32(std::string(200, 'a'));
  EXPECT_THROW(out.Write(wire::FrameType::kText, payload), OutputLimit);
  EXPECT_NO_THROW(out.WriteVerdict({.verdict = ExtractVerdict::kLimit, .sentence = std::string(300, 'b')}));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(Payload, CutsStringsAtACharacter) {
  Payload payload;
  payload.Str16("ab\u20AC", 4);
  EXPECT_EQ(payload.bytes(), std::string("\x02\x00"
                                         "ab",
                                         4));
}

}  // namespace
}  // namespace carrel::retrieval::extract
