#include "rpc/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace carrel::rpc {
namespace {

using ::testing::HasSubstr;

TEST(Log, AValueCannotBreakTheLine) {
  const std::string line =
      LogLine(LogLevel::kInfo, "event", {{"name", std::string_view("a\"b\\c\nd\x01\x1b[2J\xFF", 13)}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_THAT(line, HasSubstr("\"name\":\"a\\\"b\\\\c\\nd\\u0001\\u001b[2J\xEF\xBF\xBD\""));
}

TEST(Log, NumbersAndFlagsAreNotQuoted) {
  const std::string line =
      LogLine(LogLevel::kError, "e", {{"n", int64_t{-1}}, {"u", uint64_t{2}}, {"d", 1.5}, {"b", true}});
  EXPECT_THAT(line, HasSubstr("\"level\":\"error\",\"event\":\"e\",\"n\":-1,\"u\":2,\"d\":1.500,\"b\":true}"));
}

TEST(Log, WhatIsBelowTheLevelIsNotWritten) {
  testing::internal::CaptureStderr();
  SetLogLevel(LogLevel::kWarning);
  Log(LogLevel::kInfo, "quiet");
  Log(LogLevel::kWarning, "loud");
  SetLogLevel(LogLevel::kInfo);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("quiet"), std::string::npos);
  EXPECT_THAT(text, HasSubstr("loud"));
}

TEST(Log, JsonQuoteRefusesOverlongFormsAndSurrogates) {
  EXPECT_EQ(JsonQuote("\xC0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(JsonQuote("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(JsonQuote("\xF0\x9F\x93\x9A"), "\"\xF0\x9F\x93\x9A\"");
}

}  // namespace
}  // namespace carrel::rpc
