#include "session_ids.h"

#include <set>

#include "gtest/gtest.h"

namespace carrel::sandbox {
namespace {

TEST(SessionIds, AreAUserForEachSession) {
  uint64_t next = 1;
  std::set<uint32_t> uids;
  for (uint64_t i = 1; i <= 1000; ++i) {
    const SessionIds ids = NextSessionIds(&next, [](uint32_t) { return false; });
    EXPECT_EQ(ids.session, i);
    EXPECT_GE(ids.uid, kSessionIdBase);
    EXPECT_TRUE(uids.insert(ids.uid).second);
  }
}

// Two sessions of one user could signal each other where their pid namespaces did not keep them apart.
TEST(SessionIds, TheUserOfALastingSessionIsNotGivenAgain) {
  uint64_t next = 1;
  const SessionIds lasting = NextSessionIds(&next, [](uint32_t) { return false; });
  const auto taken = [&lasting](uint32_t uid) { return uid == lasting.uid; };
  for (uint32_t i = 0; i < 2 * kSessionIds; ++i) {
    const SessionIds ids = NextSessionIds(&next, taken);
    ASSERT_NE(ids.uid, lasting.uid) << ids.session;
    ASSERT_LT(ids.uid, kSessionIdBase + kSessionIds);
  }
}

}  // namespace
}  // namespace carrel::sandbox
