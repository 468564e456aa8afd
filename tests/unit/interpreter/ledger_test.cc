// What a caller with an old session id is told, also after a restart, and with a file that somebody damaged.
#include "interpreter/engine/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "sandbox/base/temp_dir.h"

namespace carrel::interpreter {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::StartsWith;

class LedgerTest : public ::testing::Test {
 protected:
  TempDir directory_ = *TempDir::Create();
  const std::string path_ = directory_.path() + "/sessions.log";

  [[nodiscard]] std::string Text() const {
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void Append(const std::string& text) const { std::ofstream(path_, std::ios::app) << text; }
};

TEST_F(LedgerTest, TellsWhenAndWhyASessionEnded) {
  Ledger ledger;
  ledger.Began("s1", "me");
  EXPECT_EQ(ledger.Fate("me", "s1"), std::nullopt) << "it lives";
  ledger.Ended("s1", "me", "no call for 20m");
  EXPECT_THAT(ledger.Fate("me", "s1"), Optional(AllOf(StartsWith("it ended at 2"), EndsWith("Z: no call for 20m"))));
  ledger.Began("s1", "me");
  EXPECT_EQ(ledger.Fate("me", "s1"), std::nullopt) << "there is one of that name again";
}

TEST_F(LedgerTest, AnotherOwnersSessionNeverWas) {
  Ledger ledger;
  ledger.Ended("s1", "me", "it was deleted");
  EXPECT_EQ(ledger.Fate("you", "s1"), std::nullopt);
  EXPECT_EQ(ledger.Fate("", "s1"), std::nullopt);
}

TEST_F(LedgerTest, WhatLivedWhenTheProcessWasKilledWasEndedByTheRestart) {
  {
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(path_).ok());
    ledger.Began("alive", "me");
    ledger.Began("dead", "me");
    ledger.Ended("dead", "me", "it was deleted");
  }
  Ledger again;
  ASSERT_TRUE(again.Open(path_).ok());
  EXPECT_THAT(again.Fate("me", "alive"), Optional(EndsWith(": a restart of the service")));
  EXPECT_THAT(again.Fate("me", "dead"), Optional(EndsWith(": it was deleted")));
  // And once more: the first restart stays the reason.
  const std::optional<std::string> fate = again.Fate("me", "alive");
  Ledger third;
  ASSERT_TRUE(third.Open(path_).ok());
  EXPECT_EQ(third.Fate("me", "alive"), fate);
}

TEST_F(LedgerTest, OwnersAreTextOfStrangers) {
  const std::string owner = "a\tb\nended\ts2\tme\t1\tx\\\x01";
  {
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(path_).ok());
    ledger.Began("s1", owner);
  }
  Ledger again;
  ASSERT_TRUE(again.Open(path_).ok());
  EXPECT_THAT(again.Fate(owner, "s1"), Optional(HasSubstr("restart")));
  EXPECT_EQ(again.Fate("me", "s2"), std::nullopt);
}

TEST_F(LedgerTest, ATornLastLineAndNoiseArePassedOver) {
  {
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(path_).ok());
    ledger.Began("s1", "me");
  }
  Append("ended\ts1\tme\tnot a number\tx\nnoise\n\n\\x\nbegan\ts2\tm");
  Ledger again;
  ASSERT_TRUE(again.Open(path_).ok());
  EXPECT_THAT(again.Fate("me", "s1"), Optional(HasSubstr("restart")));
  EXPECT_THAT(Text(), StartsWith("carrel-sessions 1\n"));
}

TEST_F(LedgerTest, AFileOfSomethingElseIsReplaced) {
  Append("PNG\nbegan\ts1\tme\n");
  Ledger ledger;
  ASSERT_TRUE(ledger.Open(path_).ok());
  EXPECT_EQ(ledger.Fate("me", "s1"), std::nullopt);
}

TEST_F(LedgerTest, ALinkIsNotFollowed) {
  const std::string target = directory_.path() + "/target";
  std::ofstream(target) << "precious";
  ASSERT_EQ(::symlink(target.c_str(), path_.c_str()), 0);
  Ledger ledger;
  EXPECT_FALSE(ledger.Open(path_).ok());
  std::ifstream file(target);
  std::string text;
  file >> text;
  EXPECT_EQ(text, "precious");
}

TEST_F(LedgerTest, ItsSizeIsBounded) {
  Ledger ledger;
  ASSERT_TRUE(ledger.Open(path_).ok());
  const std::string reason(100, 'r');
  for (size_t i = 0; i < Ledger::kEndedMax + 500; ++i) ledger.Ended("s" + std::to_string(i), "me", reason);
  EXPECT_EQ(ledger.Fate("me", "s0"), std::nullopt) << "the oldest are forgotten";
  EXPECT_NE(ledger.Fate("me", "s" + std::to_string(Ledger::kEndedMax)), std::nullopt);
  for (int i = 0; i < 60'000; ++i) ledger.Ended("again", "me", reason);
  struct stat about {};
  ASSERT_EQ(::stat(path_.c_str(), &about), 0);
  EXPECT_LT(about.st_size, 9 << 20);
}

}  // namespace
}  // namespace carrel::interpreter
