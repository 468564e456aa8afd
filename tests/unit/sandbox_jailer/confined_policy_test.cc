#include "confined_policy.h"

#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace carrel::sandbox {
namespace {

using ::testing::HasSubstr;

const PathRule* Find(const Policy& policy, const std::string& path) {
  const auto rule =
      std::find_if(policy.landlock.begin(), policy.landlock.end(), [&](const PathRule& r) { return r.path == path; });
  return rule == policy.landlock.end() ? nullptr : &*rule;
}

Policy SomePolicy() {
  Policy policy;
  policy.name = "some";
  policy.binds = {{.source = "/usr", .target = "/usr"},
                  {.source = "/usr/share", .target = "/opt/carrel/driver"},
                  {.source = "/nowhere", .target = "/opt/carrel/more", .optional = true}};
  policy.command = {"/usr/bin/python3", "-s", "/opt/carrel/driver/zygote.py"};
  policy.env = {"PATH=/opt/carrel/driver/tools:/usr/bin", "HOME=/tmp", "EMPTY="};
  policy.landlock = {{.path = "/usr", .execute = true},
                     {.path = "/opt/carrel", .execute = true},
                     {.path = "/etc"},
                     {.path = "/proc"},
                     {.path = "/dev", .write = true},
                     {.path = "/mnt/data", .write = true, .execute = true},
                     {.path = "/tmp", .write = true}};
  return policy;
}

TEST(ConfinedPolicy, PathsAreTheHosts) {
  const auto confined = ConfinePolicy(SomePolicy());
  ASSERT_TRUE(confined.ok()) << confined.status();
  EXPECT_THAT(confined->command, ::testing::ElementsAre("/usr/bin/python3", "-s", "/usr/share/zygote.py"));
  EXPECT_THAT(confined->env, ::testing::ElementsAre("PATH=/usr/share/tools:/usr/bin", "HOME=/tmp", "EMPTY="));
}

TEST(ConfinedPolicy, ShowsBindsAndPlacesAndLittleElse) {
  const auto confined = ConfinePolicy(SomePolicy());
  ASSERT_TRUE(confined.ok()) << confined.status();
  ASSERT_NE(Find(*confined, "/usr/share"), nullptr);
  EXPECT_TRUE(Find(*confined, "/usr/share")->execute);
  EXPECT_FALSE(Find(*confined, "/usr/share")->write);
  for (const char* place : kConfinedPlaces) {
    ASSERT_NE(Find(*confined, place), nullptr) << place;
    EXPECT_TRUE(Find(*confined, place)->write) << place;
  }
  for (const char* hidden : {"/etc", "/proc", "/dev", "/opt/carrel", "/nowhere", "/"}) {
    EXPECT_EQ(Find(*confined, hidden), nullptr) << hidden;
  }
}

TEST(ConfinedPolicy, ZeroIsNotMappedWhereMemoryIsWatched) {
  Policy policy = SomePolicy();
  EXPECT_NE(Find(*ConfinePolicy(policy), "/dev/zero"), nullptr);
  policy.memory_is_watched = true;
  EXPECT_EQ(Find(*ConfinePolicy(policy), "/dev/zero"), nullptr);
}

TEST(ConfinedPolicy, ARuleThatNoBindShowsIsAnError) {
  Policy policy = SomePolicy();
  policy.landlock.push_back({.path = "/var/lib"});
  EXPECT_THAT(std::string(ConfinePolicy(policy).status().message()), HasSubstr("/var/lib"));
}

class SharedKernel : public ::testing::Test {
 protected:
  void SetUp() override {
    auto own = ParseSyscallPolicy(
        "default errno ENOSYS # t\nallow connect # t\nallow socket if a0.lo == AF_UNIX # t\nallow setpriority # t\n"
        "allow read # t\n",
        "own");
    ASSERT_TRUE(own.ok()) << own.status();
    auto refused = RefuseSharedKernel(*own);
    ASSERT_TRUE(refused.ok()) << refused.status();
    policy_ = *refused;
  }
  [[nodiscard]] bool Allows(int number, std::array<uint64_t, 6> args) const {
    return DecideSyscall(policy_, number, args).kind == SyscallAction::Kind::kAllow;
  }
  SyscallPolicy policy_;
};

TEST_F(SharedKernel, NoSocketLeadsOut) {
  EXPECT_FALSE(Allows(SYS_connect, {3, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(Allows(SYS_socket, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0, 0}));
  EXPECT_FALSE(Allows(SYS_socket, {AF_UNIX, SOCK_DGRAM, 0, 0, 0, 0}));
  EXPECT_FALSE(Allows(SYS_socket, {AF_UNIX, SOCK_RAW, 0, 0, 0, 0}));  // which AF_UNIX takes for a datagram's
  EXPECT_FALSE(Allows(SYS_socket, {AF_INET, SOCK_STREAM, 0, 0, 0, 0}));
}

TEST_F(SharedKernel, OnlyOnesOwnPriority) {
  EXPECT_TRUE(Allows(SYS_setpriority, {0, 0, 1, 0, 0, 0}));
  EXPECT_FALSE(Allows(SYS_setpriority, {0, 1234, 1, 0, 0, 0}));
  EXPECT_FALSE(Allows(SYS_setpriority, {2, 0, 1, 0, 0, 0}));
}

TEST_F(SharedKernel, AllowsNothingThatThePolicyDoesNot) {
  EXPECT_TRUE(Allows(SYS_read, {}));
  EXPECT_FALSE(Allows(SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0, 0, 0, 0}));
  EXPECT_FALSE(Allows(SYS_sched_setaffinity, {}));
}

}  // namespace
}  // namespace carrel::sandbox
