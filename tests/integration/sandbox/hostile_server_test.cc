// A server that somebody took over says to its jailer whatever there is to say: the jailer, which has the privileges,
// stays alive and right, or ends with everything that it made. It never does more than a policy allows.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "jail_fixture.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/jailer_protocol.h"

namespace carrel::sandbox {
namespace {

std::unique_ptr<JailerUnderTest> StartRaw() {
  auto jailer = JailerUnderTest::Start({.arguments = UsualArguments(), .raw = true});
  EXPECT_TRUE(jailer.ok()) << jailer.status();
  return jailer.ok() ? *std::move(jailer) : nullptr;
}

// The next message, or nullopt when there is none for `patience`, or the jailer is gone.
std::optional<JailerMessage> Next(int socket, int patience_ms) {
  pollfd polled{.fd = socket, .events = POLLIN, .revents = 0};
  if (::poll(&polled, 1, patience_ms) <= 0) return std::nullopt;
  JailerMessage message;
  const auto received = ReceiveMessage(socket, WritableBytesOf(message));
  if (!received.ok() || received->size != sizeof message) return std::nullopt;
  return message;
}

// Waits for the policy `name`, whose number it gives.
uint32_t PolicyNamed(int socket, const std::string& name) {
  while (const auto message = Next(socket, 5000)) {
    if (message->kind == JailerMessageKind::kPolicy && name == message->text) return message->policy;
  }
  ADD_FAILURE() << "no policy " << name;
  return 0;
}

// A session made, used and destroyed by the protocol, by hand. What it printed.
std::string Canary(int socket, uint32_t shell) {
  auto porter = MakeSocketPair();
  auto input = MakePipe();
  auto output = MakePipe();
  constexpr uint64_t kRequest = 0x5eed;
  const JailerMessage create{.kind = JailerMessageKind::kCreate, .policy = shell, .request = kRequest};
  {
    const std::vector<int> fds = {porter->second.get(), input->read.get(), output->write.get(), output->write.get()};
    EXPECT_TRUE(SendMessage(socket, BytesOf(create), fds).ok());
  }
  output->write.reset();
  uint64_t session = 0;
  while (session == 0) {
    const auto message = Next(socket, 10'000);
    if (!message) return "no answer";
    if (message->request != kRequest) continue;
    if (message->kind == JailerMessageKind::kFailed) return message->text;
    if (message->kind == JailerMessageKind::kCreated) session = message->session;
  }
  const std::string script = "echo canary\n";
  EXPECT_EQ(::write(input->write.get(), script.data(), script.size()), static_cast<ssize_t>(script.size()));
  input->write.reset();
  const std::string said = ReadToEnd(output->read.get());
  EXPECT_TRUE(
      SendMessage(socket, BytesOf(JailerMessage{.kind = JailerMessageKind::kDestroy, .session = session})).ok());
  return said;
}

TEST(HostileServer, RequestsOfAnyContentDoNoHarm) {
  const auto jailer = StartRaw();
  ASSERT_NE(jailer, nullptr);
  const int socket = jailer->socket().get();
  const uint32_t shell = PolicyNamed(socket, "shell");
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::mt19937_64 random(11);
  const auto odd = [&random]() -> uint64_t {
    switch (random() % 6) {
      case 0:
        return 0;
      case 1:
        return ~uint64_t{0};
      case 2:
        return uint64_t{1} << 63;
      case 3:
        return random() % 40;
      case 4:
        return uint64_t{64} << 20;
      default:
        return random();
    }
  };
  uint64_t session_max = 0;
  for (int round = 0; round < 1200; ++round) {
    JailerMessage message;
    auto* bytes = reinterpret_cast<unsigned char*>(&message);
    if (random() % 2 == 0) {
      for (size_t i = 0; i < sizeof message; i += 8) {
        const uint64_t number = odd();
        std::memcpy(bytes + i, &number, std::min<size_t>(8, sizeof message - i));
      }
    } else {
      message.limits = {.memory_bytes = uint64_t{64} << 20, .processes = 8};
    }
    constexpr JailerMessageKind kKinds[] = {JailerMessageKind::kCreate, JailerMessageKind::kInterrupt,
                                            JailerMessageKind::kStats, JailerMessageKind::kDestroy,
                                            JailerMessageKind::kDestroy};
    message.kind = kKinds[random() % std::size(kKinds)];
    message.policy = random() % 4 == 0 ? static_cast<uint32_t>(odd()) : shell;
    message.session = random() % 4 == 0 ? odd() : random() % (session_max + 2);
    message.request = random() % 3 == 0 ? odd() : static_cast<uint64_t>(round) + 1;
    std::vector<int> fds;
    auto porter = MakeSocketPair();
    const std::vector<int> some = {porter->second.get(), null.get(), directory.get(), null.get(), socket};
    for (size_t count = random() % 8; count > 0; --count) fds.push_back(some[random() % some.size()]);
    if (message.kind == JailerMessageKind::kCreate && random() % 2 == 0) {
      fds = {porter->second.get(), null.get(), null.get(), null.get()};
    }
    ASSERT_TRUE(SendMessage(socket, BytesOf(message), fds).ok()) << "the jailer is gone in round " << round;
    while (const auto answer = Next(socket, 0)) session_max = std::max(session_max, answer->session);
    if (round % 100 == 99) {
      for (uint64_t session = 1; session <= session_max + 8; ++session) {
        ASSERT_TRUE(
            SendMessage(socket, BytesOf(JailerMessage{.kind = JailerMessageKind::kDestroy, .session = session})).ok());
        while (Next(socket, 0)) {
        }
      }
    }
  }
  EXPECT_EQ(Canary(socket, shell), "canary\n");
  EXPECT_FALSE(jailer->process().Wait(absl::ZeroDuration()).has_value());
}

TEST(HostileServer, AnythingThatIsNoRequestEndsTheJailerAndAllItMade) {
  for (const size_t size : {size_t{1}, sizeof(JailerMessage) - 1, sizeof(JailerMessage) + 1, size_t{4000}}) {
    const auto jailer = StartRaw();
    ASSERT_NE(jailer, nullptr);
    const uint32_t shell = PolicyNamed(jailer->socket().get(), "shell");
    EXPECT_EQ(Canary(jailer->socket().get(), shell), "canary\n");
    const std::vector<pid_t> family = Descendants(jailer->process().pid());
    const std::vector<std::byte> noise(size, std::byte{7});
    ASSERT_TRUE(SendMessage(jailer->socket().get(), noise).ok());
    EXPECT_TRUE(jailer->process().Wait(absl::Seconds(10)).has_value()) << size << " bytes";
    EXPECT_TRUE(Eventually([&] { return std::none_of(family.begin(), family.end(), IsAlive); })) << size << " bytes";
  }
  for (const uint32_t kind : {0U, 1U, 2U, 4U, 9U, 99U, ~0U}) {
    const auto jailer = StartRaw();
    ASSERT_NE(jailer, nullptr);
    JailerMessage message;
    message.kind = static_cast<JailerMessageKind>(kind);
    ASSERT_TRUE(SendMessage(jailer->socket().get(), BytesOf(message)).ok());
    EXPECT_TRUE(jailer->process().Wait(absl::Seconds(10)).has_value()) << "kind " << kind;
  }
}

TEST(HostileServer, ASessionIsWhatThePolicySaysWhateverTheServerSends) {
  const auto jailer = StartRaw();
  ASSERT_NE(jailer, nullptr);
  const int socket = jailer->socket().get();
  const uint32_t shell = PolicyNamed(socket, "shell");
  // Limits over the caps, of every field.
  for (size_t field = 0; field < sizeof(JailLimits) / sizeof(uint64_t); ++field) {
    JailerMessage create{.kind = JailerMessageKind::kCreate, .policy = shell, .request = 100 + field};
    const uint64_t most = ~uint64_t{0};
    std::memcpy(reinterpret_cast<char*>(&create.limits) + field * sizeof most, &most, sizeof most);
    auto porter = MakeSocketPair();
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const std::vector<int> fds = {porter->second.get(), null.get(), null.get(), null.get()};
    ASSERT_TRUE(SendMessage(socket, BytesOf(create), fds).ok());
    std::optional<JailerMessage> answer;
    do {
      answer = Next(socket, 5000);
    } while (answer && answer->request != 100 + field);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->kind, JailerMessageKind::kFailed) << "field " << field;
  }
  EXPECT_EQ(Canary(socket, shell), "canary\n");
}

}  // namespace
}  // namespace carrel::sandbox
