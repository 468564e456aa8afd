// More at once than the queues between server, jailer, nursery and zygote hold: everybody waits, nobody for ever.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "jail_fixture.h"
#include "sandbox/base/process_info.h"

namespace carrel::sandbox {
namespace {

// A queue holds about 130 messages of the nursery's, and as many of the zygote's.
constexpr int kFlood = 200;
// What they have to be made in, whoever else uses the machine.
constexpr absl::Duration kPatience = absl::Seconds(60);

std::vector<pid_t> Named(pid_t ancestor, const std::string& name) {
  std::vector<pid_t> found;
  for (const pid_t pid : Descendants(ancestor)) {
    const auto comm = ReadSmallFile("/proc/" + std::to_string(pid) + "/comm");
    if (comm.ok() && *comm == name + "\n") found.push_back(pid);
  }
  return found;
}

// Stopped while it lives.
class Stopped final {
 public:
  explicit Stopped(pid_t pid) : pid_(pid) { EXPECT_EQ(::kill(pid, SIGSTOP), 0); }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;
  ~Stopped() { EXPECT_EQ(::kill(pid_, SIGCONT), 0); }

 private:
  const pid_t pid_;
};

class FloodTest : public JailTest {
 protected:
  // Asks for kFlood sessions at once, does `meanwhile` when the requests are on their way, and counts what came of
  // them.
  int CreateAtOnce(const std::string& policy, const std::function<void()>& meanwhile) {
    std::atomic<int> made = 0;
    std::atomic<int> asked = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kFlood; ++i) {
      threads.emplace_back([this, &policy, &made, &asked] {
        ++asked;
        const auto running = StartJail(maker(), policy, {}, kPatience);
        if (running.ok()) ++made;
        if (!running.ok()) ADD_FAILURE() << running.status();
      });
    }
    while (asked < kFlood) absl::SleepFor(absl::Milliseconds(1));
    absl::SleepFor(absl::Milliseconds(500));
    meanwhile();
    for (std::thread& thread : threads) thread.join();
    return made;
  }
};

// The nursery has the ends of as many sessions to tell as it is asked to begin. If the jailer and the nursery both
// waited for room in the other's queue, no session would ever be made again.
TEST_F(FloodTest, JailerAndNurseryDoNotWaitForEachOther) {
  std::vector<RunningJail> jails;
  for (int i = 0; i < kFlood; ++i) {
    auto running = StartJail(maker(), "shell");
    ASSERT_TRUE(running.ok()) << running.status();
    jails.push_back(*std::move(running));
  }
  const std::vector<pid_t> nursery = Named(jailer_->process().pid(), "carrel-nursery");
  ASSERT_EQ(nursery.size(), 1U);
  const std::vector<pid_t> inits = Named(jailer_->process().pid(), "carrel-init");
  ASSERT_GE(inits.size(), size_t{kFlood});  // and the spare ones
  std::optional<Stopped> stopped(nursery[0]);
  EXPECT_EQ(CreateAtOnce("shell",
                         [&inits, &stopped] {
                           for (const pid_t init : inits) EXPECT_EQ(::kill(init, SIGKILL), 0);
                           stopped.reset();
                         }),
            kFlood);
  EXPECT_EQ(RunScript(maker(), "echo next"), "next\n");
}

// A zygote that is behind is no reason to refuse a session.
TEST_F(FloodTest, AZygoteIsGivenTimeToCatchUp) {
  auto first = StartJail(maker(), "forks");
  ASSERT_TRUE(first.ok()) << first.status();
  const std::vector<pid_t> zygote = Named(jailer_->process().pid(), "test_zygote");
  ASSERT_GE(zygote.size(), 1U);
  std::optional<Stopped> stopped(zygote[0]);
  EXPECT_EQ(CreateAtOnce("forks", [&stopped] { stopped.reset(); }), kFlood);
}

}  // namespace
}  // namespace carrel::sandbox
