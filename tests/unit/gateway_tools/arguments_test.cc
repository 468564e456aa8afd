#include "gateway/tools/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ReadMember(std::string_view text, std::size_t piece) {
  StringMemberReader reader("code");
  std::string value;
  for (std::size_t at = 0; at < text.size(); at += piece) value += reader.Feed(text.substr(at, piece));
  return value;
}

TEST(StringMember, IsDecodedWhileItArrives) {
  const std::string code = "print(\"é 😀 \\ 1\")\n\tx = {'a': [1]}\r\b\f/\x01";
  for (const bool ascii : {false, true}) {
    const nlohmann::json json = {
        {"a", {{"code", "no"}, {"b", {1, "]}\"", nullptr}}}}, {"aa", "co\"de"}, {"code", code}};
    const std::string text = json.dump(1, ' ', ascii);
    for (std::size_t size = 1; size < text.size(); size += size < 12 ? 1 : 7) {
      EXPECT_EQ(ReadMember(text, size), code) << text;
    }
  }
}

TEST(StringMember, NothingComesOfWhatIsNoObject) {
  for (const char* text :
       {"", "print(1)", "[\"code\"]", "{\"code\": 7}", "{\"code\" \"x\"}", "\"code\"", "{code: \"x\"}"}) {
    EXPECT_EQ(ReadMember(text, 1), "") << text;
  }
  EXPECT_EQ(ReadMember(R"({"code": "half)", 1), "half");
}

TEST(Arguments, CodeIsRequired) {
  EXPECT_EQ(*ReadCode(R"({"code": "1"})"), "1");
  for (const char* text : {"", "print(1)", "{\"code\": 1}", "{}", "{\"code\": \"x\""}) {
    const auto status = ReadCode(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("{\"code\":"));
  }
}

TEST(Arguments, QueriesComeInSeveralShapes) {
  EXPECT_THAT(*ReadQueries(R"({"query": "a"})"), ElementsAre("a"));
  EXPECT_THAT(*ReadQueries(R"({"query": ["a", "b"]})"), ElementsAre("a", "b"));
  EXPECT_THAT(*ReadQueries(R"({"queries": ["a", 7, " "], "query": "c"})"), ElementsAre("c", "a"));
  for (const char* text : {"", "a", "{}", R"({"query": ""})", R"({"queries": []})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ReadQueries(text).status())) << text;
  }
}

TEST(Arguments, WhatIsWrittenAnewIsJson) {
  EXPECT_EQ(*ReadCode(WriteCodeArguments("print(\"\xFF\")")), "print(\"\xEF\xBF\xBD\")");
  EXPECT_TRUE(CheckArguments(WriteBrokenArguments("{\"a\": \xFF")).ok());
  EXPECT_TRUE(CheckArguments(CodeParameters().text).ok());
  EXPECT_TRUE(CheckArguments(SearchParameters().text).ok());
}

}  // namespace
}  // namespace carrel::gateway
