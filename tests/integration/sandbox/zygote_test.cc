// Sessions that are forked instead of executed.
#include <gmock/gmock.h>
#include <unistd.h>

#include <csignal>

#include "jail_fixture.h"

namespace carrel::sandbox {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST_F(JailTest, ForkedSessionIsInItsOwnNamespaceWithNothingLeft) {
  auto running = StartJail(maker(), "forks");
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_THAT(running->Finish("5\n"), MatchesRegex("pid=2 uid=[0-9]+ nnp=1\n"));
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 5);
}

TEST_F(JailTest, ForkedSessionThatAbortsIsSignalled) {
  auto running = StartJail(maker(), "forks");
  ASSERT_TRUE(running.ok()) << running.status();
  running->Finish("abort\n");
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, SIGABRT);
  EXPECT_FALSE(end->memory_limit);
}

TEST_F(JailTest, ForkedSessionsComeAndGo) {
  for (int i = 0; i < 50; ++i) {
    auto running = StartJail(maker(), "forks");
    ASSERT_TRUE(running.ok()) << i << ": " << running.status();
    EXPECT_THAT(running->Finish("0\n"), HasSubstr("pid=2 ")) << i;
  }
}

TEST_F(JailTest, SessionsOutliveTheirZygote) {
  auto running = StartJail(maker(), "forks");
  ASSERT_TRUE(running.ok()) << running.status();
  // Its parent, by the name of the program; the test's own process tree only.
  pid_t zygote = -1;
  for (const pid_t pid : Descendants(jailer_->process().pid())) {
    char program[256] = {};
    const ssize_t length = ::readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), program, sizeof program - 1);
    if (length > 0 && std::string(program).ends_with("test_zygote") && (zygote < 0 || pid < zygote)) zygote = pid;
  }
  ASSERT_GT(zygote, 0);
  ASSERT_EQ(::kill(zygote, SIGKILL), 0);
  // A new one takes its place.
  EXPECT_TRUE(Eventually([&] { return StartJail(maker(), "forks").ok(); }));
  EXPECT_THAT(running->Finish("6\n"), HasSubstr("pid=2 "));
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 6);
}

}  // namespace
}  // namespace carrel::sandbox
