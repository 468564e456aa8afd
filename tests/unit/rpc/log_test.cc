#include "rpc/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

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

TEST(Log, AFullPipeLosesLinesAndStopsNobody) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const int real = ::dup(STDERR_FILENO);
  ASSERT_EQ(::dup2(pipe[1], STDERR_FILENO), STDERR_FILENO);
  const std::string text(500, 'x');
  for (int i = 0; i < 1000; ++i) Log(LogLevel::kWarning, "flood", {{"text", text}});
  // The reader comes back, and learns what it missed.
  std::string first(64 << 10, '\0');
  ASSERT_GT(::read(pipe[0], first.data(), first.size()), 0);
  Log(LogLevel::kWarning, "after");
  ASSERT_EQ(::fcntl(pipe[0], F_SETFL, O_NONBLOCK), 0);
  std::string rest;
  for (ssize_t got; (got = ::read(pipe[0], first.data(), first.size())) > 0;) {
    rest.append(first.data(), static_cast<size_t>(got));
  }
  ASSERT_EQ(::dup2(real, STDERR_FILENO), STDERR_FILENO);
  for (const int fd : {real, pipe[0], pipe[1]}) ::close(fd);
  EXPECT_THAT(rest, HasSubstr("log lines were lost"));
  EXPECT_THAT(rest, HasSubstr("\"event\":\"after\""));
  EXPECT_EQ(::fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}

TEST(Log, JsonQuoteRefusesOverlongFormsAndSurrogates) {
  EXPECT_EQ(JsonQuote("\xC0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(JsonQuote("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(JsonQuote("\xF0\x9F\x93\x9A"), "\"\xF0\x9F\x93\x9A\"");
}

}  // namespace
}  // namespace carrel::rpc
