#include "rpc/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/time/clock.h"

namespace carrel::rpc {
namespace {

TEST(ShutdownSignals, GivesTheSignalThatCame) {
  auto signals = ShutdownSignals::Block();
  ASSERT_TRUE(signals.ok());
  EXPECT_EQ(signals->Wait(absl::Milliseconds(10)), 0);
  ::kill(::getpid(), SIGINT);
  EXPECT_EQ(signals->Wait(absl::Seconds(10)), SIGINT);
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(signals->Wait(absl::Seconds(10)), SIGTERM);
  EXPECT_EQ(signals->Wait(absl::ZeroDuration()), 0);
}

// As the thread pools that numeric libraries start when they are loaded, before main.
TEST(ShutdownSignals, AThreadOlderThanItDoesNotDieOfTheSignal) {
  std::atomic<bool> started = false;
  std::atomic<bool> stop = false;
  std::thread older([&] {
    started = true;
    while (!stop) absl::SleepFor(absl::Milliseconds(1));
  });
  // ThreadSanitizer drops a signal to a thread that it does not know yet.
  while (!started) absl::SleepFor(absl::Milliseconds(1));
  auto signals = ShutdownSignals::Block();
  ASSERT_TRUE(signals.ok());
  ASSERT_EQ(::pthread_kill(older.native_handle(), SIGTERM), 0);
  EXPECT_EQ(signals->Wait(absl::Seconds(10)), SIGTERM);
  stop = true;
  older.join();
}

}  // namespace
}  // namespace carrel::rpc
