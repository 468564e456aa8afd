// The pool against scripted jails: who gets one of it, what is thrown away, and where it stops.
#include "interpreter/engine/pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "interpreter/engine/limits.h"
#include "tests/unit/interpreter/scripted_jail.h"

namespace carrel::interpreter {
namespace {

using testing::ScriptedJails;

class PoolTest : public ::testing::Test {
 protected:
  ScriptedJails jails_;
  Statistics statistics_;
  const sandbox::JailLimits defaults_ = ToJailLimits(DefaultLimits({.name = "python"}));

  static void Await(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!condition() && absl::Now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(condition());
  }
};

TEST_F(PoolTest, IsFilledAndFilledAgain) {
  Pool pool({.size = 2}, jails_, statistics_);
  Await([&] { return pool.ready() == 2; });
  EXPECT_TRUE(pool.Take("python", defaults_).has_value());
  Await([&] { return pool.ready() == 2; });
  EXPECT_EQ(statistics_.Total(Event::kPoolMade), 3u);
}

TEST_F(PoolTest, NobodyGetsOneThatSomebodyHad) {
  Pool pool({.size = 2}, jails_, statistics_);
  std::vector<InterpreterProcess> taken;
  std::set<const sandbox::Jail*> jails;
  while (taken.size() < 20) {
    if (auto process = pool.Take("python", defaults_)) {
      jails.insert(process->jail.get());
      taken.push_back(*std::move(process));
    }
  }
  EXPECT_EQ(jails.size(), 20u);
}

TEST_F(PoolTest, ARequestThatLastsDoesNotStarveIt) {
  Pool pool({.size = 2}, jails_, statistics_);
  Await([&] { return pool.ready() == 2; });
  const Pool::Request lasts(pool);
  EXPECT_TRUE(pool.Take("python", defaults_).has_value());
  EXPECT_TRUE(pool.Take("python", defaults_).has_value());
  Await([&] { return pool.ready() == 2; });
}

TEST_F(PoolTest, IsFilledAfterTheLastRequest) {
  Pool pool({.size = 2}, jails_, statistics_);
  Await([&] { return pool.ready() == 2; });
  for (const bool goes_on : {true, false}) {
    {
      Pool::Request request(pool);
      if (!goes_on) request.IsLast();
      EXPECT_TRUE(pool.Take("python", defaults_).has_value());
    }
    Await([&] { return pool.ready() == 2; });
  }
}

TEST_F(PoolTest, OtherLimitsAndRuntimesAreNotItsAffair) {
  Pool pool({.size = 1}, jails_, statistics_);
  Await([&] { return pool.ready() == 1; });
  sandbox::JailLimits more = defaults_;
  more.memory_bytes *= 2;
  EXPECT_FALSE(pool.Take("python", more).has_value());
  EXPECT_FALSE(pool.Take("bash", defaults_).has_value());
  EXPECT_EQ(pool.ready(), 1u);
}

TEST_F(PoolTest, StopsAtItsMemory) {
  // The scripted jails do not tell what they hold: each is taken for 16 MiB.
  Pool pool({.size = 10, .memory_bytes_max = 40ull << 20}, jails_, statistics_);
  Await([&] { return pool.ready() == 2; });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(pool.ready(), 2u);
  EXPECT_LE(pool.memory_bytes(), 40ull << 20);
}

TEST_F(PoolTest, OneThatDiedIsReplaced) {
  Pool pool({.size = 1}, jails_, statistics_);
  Await([&] { return pool.ready() == 1; });
  jails_.KillAll();
  Await([&] { return statistics_.Total(Event::kPoolDropped) == 1 && pool.ready() == 1; });
  const auto process = pool.Take("python", defaults_);
  ASSERT_TRUE(process.has_value());
  EXPECT_EQ(process->jail->exit(), std::nullopt);
}

TEST_F(PoolTest, ThoseOfAnOldRuntimeAreReplaced) {
  Pool pool({.size = 2}, jails_, statistics_);
  Await([&] { return pool.ready() == 2; });
  ++jails_.generation;
  EXPECT_FALSE(pool.Take("python", defaults_).has_value()) << "both were of the old one";
  Await([&] { return pool.ready() == 2; });
  EXPECT_EQ(statistics_.Total(Event::kPoolDropped), 2u);
}

TEST_F(PoolTest, AJailThatCannotBeMadeIsTriedAgainLater) {
  jails_.fail_next = absl::UnavailableError("cgroup: not mounted");
  Pool pool({.size = 1}, jails_, statistics_);
  Await([&] { return statistics_.Total(Event::kPoolFailed) == 1; });
  Await([&] { return pool.ready() == 1; });
}

TEST_F(PoolTest, LeavesNothingBehind) {
  {
    Pool pool({.size = 3}, jails_, statistics_);
    Await([&] { return pool.ready() == 3; });
  }
  EXPECT_EQ(*jails_.alive, 0);
}

}  // namespace
}  // namespace carrel::interpreter
