// What runs out, and who does not answer: the jailer refuses with a sentence, replaces who hangs, and lives on.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <csignal>

#include "absl/time/clock.h"
#include "scarcity_fixture.h"

namespace carrel::sandbox {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST_F(ScarcityTest, AJailerWithoutDescriptorsRefusesAndLivesOn) {
  auto before = StartJail(maker(), "shell");
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(StartJail(maker(), "forks").ok());
  // Those of the session that has just ended are given back in a moment.
  auto held = DescriptorsOf(jailer());
  for (auto was = held + 1; was != held; held = DescriptorsOf(jailer())) {
    was = held;
    absl::SleepFor(absl::Milliseconds(200));
  }
  int refused = 0;
  // Each limit lets another step be the one that fails.
  for (rlim_t more = 0; more < 40; ++more) {
    LimitDescriptors(jailer(), held + more);
    for (const char* policy : {"shell", "forks"}) {
      const absl::Time begin = absl::Now();
      const auto jail = StartJail(maker(), policy);
      EXPECT_LT(absl::Now() - begin, absl::Seconds(15)) << "with " << more;
      if (jail.ok()) continue;
      ++refused;
      EXPECT_THAT(jail.status().code(), AnyOf(absl::StatusCode::kResourceExhausted, absl::StatusCode::kUnavailable))
          << jail.status();
    }
    ASSERT_FALSE(jailer_->process().Wait(absl::ZeroDuration()).has_value()) << "with " << more;
  }
  EXPECT_GT(refused, 0);
  LimitDescriptors(jailer(), MostDescriptors(jailer()));
  ExpectAllIsWell();
  EXPECT_EQ(before->Finish("echo untouched"), "untouched\n");
}

TEST_F(ScarcityTest, AZygoteThatCannotBeStartedNowIsStartedLater) {
  ASSERT_TRUE(StartJail(maker(), "forks").ok());
  LimitDescriptors(jailer(), DescriptorsOf(jailer()));
  ASSERT_EQ(::kill(Zygote(), SIGKILL), 0);
  absl::SleepFor(absl::Milliseconds(600));
  ASSERT_FALSE(jailer_->process().Wait(absl::ZeroDuration()).has_value());
  LimitDescriptors(jailer(), MostDescriptors(jailer()));
  ExpectAllIsWell();
}

TEST_F(ScarcityTest, AZygoteThatDoesNotAnswerIsReplacedAndItsSessionMadeByTheNext) {
  ASSERT_TRUE(StartJail(maker(), "forks").ok());
  const pid_t zygote = Zygote();
  ASSERT_EQ(::kill(zygote, SIGSTOP), 0);
  auto jail = StartJail(maker(), "forks");
  ASSERT_TRUE(jail.ok()) << jail.status();
  EXPECT_THAT(jail->Finish("5\n"), HasSubstr("pid=2 "));
  EXPECT_FALSE(IsAlive(zygote));
  ExpectAllIsWell();
}

TEST_F(ScarcityTest, AJailerWhoseNurseryDoesNotAnswerEnds) {
  ASSERT_EQ(::kill(Nursery(), SIGSTOP), 0);
  EXPECT_FALSE(StartJail(maker(), "shell").ok());
  EXPECT_TRUE(jailer_->process().Wait(absl::Seconds(60)).has_value());
}

TEST_F(ScarcityTest, AJailerThatDoesNotAnswerIsNoticed) {
  EXPECT_TRUE(maker().Check(absl::Now() + absl::Seconds(10)).ok());
  ASSERT_EQ(::kill(jailer(), SIGSTOP), 0);
  EXPECT_EQ(maker().Check(absl::Now() + absl::Milliseconds(300)).code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(::kill(jailer(), SIGCONT), 0);
  EXPECT_TRUE(maker().Check(absl::Now() + absl::Seconds(10)).ok());
  ExpectAllIsWell();
}

TEST(LogScarcityTest, ALogThatNobodyReadsStopsNobody) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe.ok());
  const int flags = ::fcntl(pipe->write.get(), F_GETFL);
  ASSERT_EQ(::fcntl(pipe->write.get(), F_SETFL, flags | O_NONBLOCK), 0);
  const std::string block(4096, 'x');
  while (::write(pipe->write.get(), block.data(), block.size()) > 0) {
  }
  while (::write(pipe->write.get(), "x", 1) > 0) {
  }
  ASSERT_EQ(::fcntl(pipe->write.get(), F_SETFL, flags), 0);
  auto jailer = JailerUnderTest::Start({.arguments = UsualArguments(), .errors = pipe->write.get()});
  ASSERT_TRUE(jailer.ok()) << jailer.status();
  ASSERT_TRUE(StartJail((*jailer)->maker(), "forks").ok());
  // Each end of a zygote is a line in the log.
  for (int round = 0; round < 3; ++round) {
    for (const pid_t pid : Descendants((*jailer)->process().pid())) {
      char program[256] = {};
      const ssize_t length = ::readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), program, sizeof program - 1);
      if (length > 0 && std::string(program).ends_with("test_zygote")) ::kill(pid, SIGKILL);
    }
    EXPECT_TRUE(Eventually([&] { return StartJail((*jailer)->maker(), "forks").ok(); })) << round;
  }
  EXPECT_EQ(RunScript((*jailer)->maker(), "echo fine"), "fine\n");
}

}  // namespace
}  // namespace carrel::sandbox
