#include "sandbox/base/child_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "sandbox/base/message_socket.h"
#include "sandbox/base/process_info.h"

namespace carrel {
namespace {

std::string ReadAll(int fd) {
  std::string text;
  char buffer[256];
  ssize_t got;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(got));
  return text;
}

TEST(ChildProcess, TellsHowItEnded) {
  auto child = ChildProcess::Spawn({.argv = {"/bin/sh", "-c", "exit 3"}});
  ASSERT_TRUE(child.ok()) << child.status();
  const auto end = child->Wait(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 3);
  EXPECT_EQ(Describe(*end), "exited with 3");
  EXPECT_EQ(child->Wait(absl::ZeroDuration())->exit_code, 3);
  EXPECT_TRUE(child->Signal(SIGKILL).ok());
}

TEST(ChildProcess, WaitGivesUpInTime) {
  auto child = ChildProcess::Spawn({.argv = {"/bin/sleep", "60"}});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_FALSE(child->Wait(absl::Milliseconds(20)).has_value());
  ASSERT_TRUE(child->Signal(SIGTERM).ok());
  EXPECT_EQ(child->Wait(absl::Seconds(10))->signal, SIGTERM);
}

TEST(ChildProcess, IsKilledByItsDestructor) {
  pid_t pid;
  {
    auto child = ChildProcess::Spawn({.argv = {"/bin/sleep", "60"}});
    ASSERT_TRUE(child.ok());
    pid = child->pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ChildProcess, AProgramThatIsNotThereIsAnErrorOfSpawn) {
  const auto child = ChildProcess::Spawn({.argv = {"/nowhere/program"}});
  EXPECT_EQ(child.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(child.status().message()), ::testing::HasSubstr("exec"));
}

TEST(ChildProcess, HasTheDescriptorsItWasGivenAndNoOther) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe.ok());
  // Open without close-on-exec, as a careless library would.
  const UniqueFd leak(::open("/dev/null", O_RDONLY));  // NOLINT(android-cloexec-open)
  auto child = ChildProcess::Spawn({.argv = {"/bin/sh", "-c", "ls /proc/self/fd | tr '\\n' ' ' >&5"},
                                    .fds = {{pipe->write.get(), 5}, {pipe->write.get(), 1}}});
  ASSERT_TRUE(child.ok()) << child.status();
  pipe->write.reset();
  // 3 is the directory that ls reads.
  EXPECT_EQ(ReadAll(pipe->read.get()), "0 1 2 3 5 ");
}

TEST(ChildProcess, SwappedDescriptorsAreNotConfused) {
  auto one = MakePipe();
  auto two = MakePipe();
  ASSERT_TRUE(one.ok() && two.ok());
  const int low = std::min(one->write.get(), two->write.get());
  const int high = std::max(one->write.get(), two->write.get());
  auto child = ChildProcess::Spawn(
      {.argv = {"/bin/sh", "-c", "echo low >&$0; echo high >&$1", std::to_string(high), std::to_string(low)},
       .fds = {{low, high}, {high, low}}});
  ASSERT_TRUE(child.ok()) << child.status();
  one->write.reset();
  two->write.reset();
  EXPECT_EQ(ReadAll((low < high ? one : two)->read.get()).empty(), false);
}

TEST(ChildProcess, EnvironmentIsOnlyWhatWasGiven) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe.ok());
  auto child = ChildProcess::Spawn(
      {.argv = {"/usr/bin/env"}, .env = std::vector<std::string>{"ONLY=this"}, .fds = {{pipe->write.get(), 1}}});
  ASSERT_TRUE(child.ok()) << child.status();
  pipe->write.reset();
  EXPECT_EQ(ReadAll(pipe->read.get()), "ONLY=this\n");
}

TEST(ChildProcess, AStepBeforeExecCanRefuse) {
  const auto refuse = [](void*) noexcept { return EPERM; };
  const auto child = ChildProcess::Spawn({.argv = {"/bin/true"}, .before_exec = {.run = refuse}});
  EXPECT_EQ(child.status().code(), absl::StatusCode::kPermissionDenied);
}

TEST(ProcessInfo, PidOfAPidfd) {
  auto child = ChildProcess::Spawn({.argv = {"/bin/sleep", "60"}});
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(PidOfPidfd(child->pidfd()).value_or(-1), child->pid());
  child->Signal(SIGKILL).IgnoreError();
  (void)child->Wait(absl::Seconds(10));
  EXPECT_FALSE(PidOfPidfd(child->pidfd()).ok());
}

TEST(ProcessInfo, SmallFilesHaveABound) {
  EXPECT_TRUE(ReadSmallFile("/proc/self/status").ok());
  EXPECT_EQ(ReadSmallFile("/dev/zero", 10'000).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace carrel
