// kill -9 of each of our processes: nothing that should not run goes on running.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "jail_fixture.h"

namespace carrel::sandbox {
namespace {

class DeathTest : public JailTest {
 protected:
  void SetUp() override {
    JailTest::SetUp();
    if (HasFatalFailure()) return;
    for (const char* policy : {"shell", "forks"}) {
      auto running = StartJail(maker(), policy);
      ASSERT_TRUE(running.ok()) << running.status();
      jails_.push_back(*std::move(running));
    }
    const std::string script = "setsid sleep 600 & echo ready; exec sleep 600\n";
    ASSERT_GT(::write(jails_[0].input.get(), script.data(), script.size()), 0);
    char ready[6];
    ASSERT_EQ(::read(jails_[0].output.get(), ready, 6), 6);
    ASSERT_GT(::write(jails_[1].input.get(), "spin\n", 5), 0);
    family_ = Descendants(jailer_->process().pid());
    // Server, nursery, zygote, two inits, two programs, and what one of them left behind.
    ASSERT_GE(family_.size(), 8U);
  }

  [[nodiscard]] bool AllDead() const {
    return Eventually([this] { return std::none_of(family_.begin(), family_.end(), IsAlive); });
  }

  std::vector<RunningJail> jails_;
  std::vector<pid_t> family_;
};

TEST_F(DeathTest, OfTheJailer) {
  jailer_->process().Signal(SIGKILL).IgnoreError();
  EXPECT_TRUE(AllDead());
  EXPECT_FALSE(StartJail(maker(), "shell").ok());
}

TEST_F(DeathTest, OfTheServer) {
  ASSERT_EQ(::kill(jailer_->server_pid(), SIGKILL), 0);
  EXPECT_TRUE(AllDead());
  EXPECT_TRUE(jailer_->process().Wait(absl::Seconds(10)).has_value());
}

TEST_F(DeathTest, OfTheNursery) {
  const pid_t nursery = jailer_->nursery_pid();
  ASSERT_GT(nursery, 0);
  ASSERT_EQ(::kill(nursery, SIGKILL), 0);
  EXPECT_TRUE(AllDead());
  EXPECT_TRUE(jailer_->process().Wait(absl::Seconds(20)).has_value());
}

TEST_F(DeathTest, OfAnInitEndsItsSessionOnly) {
  auto another = StartJail(maker(), "shell");
  ASSERT_TRUE(another.ok()) << another.status();
  // The new process that has a child: a spare init has none.
  pid_t init = -1;
  for (const pid_t pid : Descendants(jailer_->process().pid())) {
    const bool is_new = std::find(family_.begin(), family_.end(), pid) == family_.end();
    if (is_new && !Descendants(pid).empty()) init = pid;
  }
  ASSERT_GT(init, 0);
  ASSERT_EQ(::kill(init, SIGKILL), 0);
  const auto end = another->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_FALSE(another->jail->workspace().List({}).ok());
  EXPECT_EQ(RunScript(maker(), "echo next"), "next\n");
  EXPECT_FALSE(jails_[0].jail->exit().has_value());
}

TEST_F(DeathTest, BySigtermIsOrderly) {
  jailer_->process().Signal(SIGTERM).IgnoreError();
  EXPECT_TRUE(AllDead());
  EXPECT_TRUE(jailer_->process().Wait(absl::Seconds(10)).has_value());
}

TEST_F(DeathTest, LeavesNoCgroup) {
  if (maker().report().tier != "full") GTEST_SKIP() << "no cgroup";
  const std::string name = "carrel-" + std::to_string(jailer_->process().pid());
  ASSERT_EQ(::kill(jailer_->server_pid(), SIGKILL), 0);
  ASSERT_TRUE(jailer_->process().Wait(absl::Seconds(10)).has_value());
  for (const char* controller : {"", "memory", "pids", "cpu", "cpuacct"}) {
    EXPECT_FALSE(std::filesystem::exists(std::string("/sys/fs/cgroup/") + controller + "/" + name)) << controller;
  }
}

}  // namespace
}  // namespace carrel::sandbox
