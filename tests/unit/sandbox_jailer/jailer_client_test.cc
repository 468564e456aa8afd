// The client against a scripted jailer.
#include "sandbox/jailer_client.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "absl/time/clock.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/jailer_protocol.h"

namespace carrel::sandbox {
namespace {

class JailerClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pair = MakeSocketPair();
    ASSERT_TRUE(pair.ok());
    jailer_ = std::move(pair->first);
    const std::string report = "tier\tfull\nlayer\tcgroup\t0\tnone here\tmount one\nweakened\tmemory: watchdog\n";
    const UniqueFd memfd(::memfd_create("report", MFD_CLOEXEC));
    ASSERT_GT(::write(memfd.get(), report.data(), report.size()), 0);
    Send({.kind = JailerMessageKind::kHello, .policy = 1}, memfd.get());
    JailerMessage policy{.kind = JailerMessageKind::kPolicy, .policy = 0, .status = 1, .limits = {.processes = 5}};
    std::strcpy(policy.text, "shell");
    Send(policy);
    auto maker = ConnectToJailer(std::move(pair->second));
    ASSERT_TRUE(maker.ok()) << maker.status();
    maker_ = *std::move(maker);
  }

  void Send(const JailerMessage& message, int fd = -1) {
    ASSERT_TRUE(SendMessage(jailer_.get(), BytesOf(message), std::span<const int>(&fd, fd >= 0 ? 1 : 0)).ok());
  }
  JailerMessage Receive(size_t* fds = nullptr) {
    JailerMessage message;
    auto received = ReceiveMessage(jailer_.get(), WritableBytesOf(message));
    EXPECT_TRUE(received.ok());
    if (fds != nullptr && received.ok()) *fds = received->fds.size();
    return message;
  }

  UniqueFd jailer_;
  std::unique_ptr<JailMaker> maker_;
};

TEST_F(JailerClientTest, KnowsReportAndPolicies) {
  const JailReport report = maker_->report();
  EXPECT_EQ(report.tier, "full");
  ASSERT_EQ(report.layers.size(), 1);
  EXPECT_FALSE(report.layers[0].active);
  EXPECT_EQ(report.layers[0].mend, "mount one");
  ASSERT_EQ(report.weakened.size(), 1);
  ASSERT_EQ(maker_->policies().size(), 1);
  EXPECT_EQ(maker_->policies()[0].name, "shell");
  EXPECT_EQ(maker_->policies()[0].defaults.processes, 5);
}

TEST_F(JailerClientTest, AJailFromCreateToGone) {
  std::thread jailer([this] {
    size_t fds = 0;
    const JailerMessage create = Receive(&fds);
    EXPECT_EQ(create.kind, JailerMessageKind::kCreate);
    EXPECT_EQ(fds, 4);  // the porter's socket, and /dev/null three times
    Send({.kind = JailerMessageKind::kCreated, .request = create.request, .session = 9, .limits = {.processes = 7}});
    // Right behind it, before anybody can have asked.
    Send({.kind = JailerMessageKind::kExited, .session = 9, .status = 3 << 8});
    EXPECT_EQ(Receive().kind, JailerMessageKind::kDestroy);
    Send({.kind = JailerMessageKind::kGone, .session = 9});
  });
  auto jail = maker_->Create({.policy = "shell"}, absl::Now() + absl::Seconds(10));
  ASSERT_TRUE(jail.ok()) << jail.status();
  EXPECT_EQ((*jail)->limits().processes, 7);
  const auto end = (*jail)->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 3);
  pollfd waiting{.fd = (*jail)->exit_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&waiting, 1, 0), 1);
  jail->reset();
  jailer.join();
}

TEST_F(JailerClientTest, ARefusalKeepsItsCodeAndWords) {
  std::thread jailer([this] {
    JailerMessage answer{.kind = JailerMessageKind::kFailed,
                         .request = Receive().request,
                         .error = static_cast<int32_t>(absl::StatusCode::kInvalidArgument)};
    std::strcpy(answer.text, "over the cap");
    Send(answer);
  });
  const auto jail = maker_->Create({.policy = "shell"}, absl::Now() + absl::Seconds(10));
  EXPECT_EQ(jail.status(), absl::InvalidArgumentError("over the cap"));
  jailer.join();
}

TEST_F(JailerClientTest, APatienceThatEndsDestroysWhatComesLate) {
  const auto jail = maker_->Create({.policy = "shell"}, absl::Now() + absl::Milliseconds(20));
  EXPECT_EQ(jail.status().code(), absl::StatusCode::kDeadlineExceeded);
  const JailerMessage create = Receive();
  const JailerMessage destroy = Receive();
  EXPECT_EQ(destroy.kind, JailerMessageKind::kDestroy);
  EXPECT_EQ(destroy.request, create.request);
  // It was made all the same, in the same moment.
  Send({.kind = JailerMessageKind::kCreated, .request = create.request, .session = 4});
  const JailerMessage again = Receive();
  EXPECT_EQ(again.kind, JailerMessageKind::kDestroy);
  EXPECT_EQ(again.session, 4);
}

TEST_F(JailerClientTest, ADeadJailerIsUnavailableAndEndsEveryWait) {
  std::thread jailer([this] {
    Send({.kind = JailerMessageKind::kCreated, .request = Receive().request, .session = 1});
    absl::SleepFor(absl::Milliseconds(20));
    jailer_.reset();
  });
  auto jail = maker_->Create({.policy = "shell"}, absl::Now() + absl::Seconds(10));
  ASSERT_TRUE(jail.ok()) << jail.status();
  EXPECT_FALSE((*jail)->WaitForExit(absl::Seconds(10)).has_value());
  jailer.join();
  EXPECT_EQ((*jail)->Stats().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(maker_->Create({.policy = "shell"}, absl::Now() + absl::Seconds(10)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(JailerClientTest, AnUnknownPolicyIsNotAsked) {
  EXPECT_EQ(maker_->Create({.policy = "none"}, absl::Now() + absl::Seconds(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace carrel::sandbox
