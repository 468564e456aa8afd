#include "cli/event_teller.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"

namespace carrel::cli {
namespace {

TEST(EventTeller, WhoDoesNotReadStopsNobody) {
  absl::Notification reads;
  std::atomic<int> told = 0;
  EventTeller teller([&](const SupervisorEvent&) {
    reads.WaitForNotification();
    ++told;
  });
  for (size_t i = 0; i < 2 * EventTeller::kWaitingMax; ++i) teller.Push({.kind = SupervisorEvent::Kind::kDied});
  EXPECT_FALSE(teller.Finish(absl::Milliseconds(20)));
  EXPECT_EQ(told, 0);
  reads.Notify();
  EXPECT_TRUE(teller.Finish(absl::Seconds(20)));
  EXPECT_GE(told, static_cast<int>(EventTeller::kWaitingMax));
  EXPECT_LE(told, static_cast<int>(EventTeller::kWaitingMax) + 1) << "the oldest are lost";
}

TEST(EventTeller, TellsAllInTheirOrder) {
  std::vector<std::string> told;
  EventTeller teller([&](const SupervisorEvent& event) { told.push_back(event.detail); });
  for (int i = 0; i < 100; ++i) teller.Push({.kind = SupervisorEvent::Kind::kDied, .detail = std::to_string(i)});
  ASSERT_TRUE(teller.Finish(absl::Seconds(20)));
  ASSERT_EQ(told.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(told[static_cast<size_t>(i)], std::to_string(i));
}

}  // namespace
}  // namespace carrel::cli
