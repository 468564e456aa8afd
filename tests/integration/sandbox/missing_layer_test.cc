// Layer by layer: where the kernel refuses what a layer is made of, the jailer starts nothing, and says which layer,
// why and what mends it. The same for the tier confined: confined_test.cc.
#include <gmock/gmock.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "jail_fixture.h"

namespace carrel::sandbox {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

struct Missing {
  const char* name;
  const char* rules;  // sandbox/seccomp.h: what does not work
  const char* layer;  // whose sentence must come
};

constexpr Missing kMissing[] = {
    {"UserNamespaces", "errno EPERM unshare if a0.lo & CLONE_NEWUSER == CLONE_NEWUSER # not here", "namespaces"},
    {"MountNamespaces", "errno EPERM unshare if a0.lo & CLONE_NEWNS == CLONE_NEWNS # not here", "namespaces"},
    {"PidNamespaces", "errno EPERM unshare if a0.lo & CLONE_NEWPID == CLONE_NEWPID # not here", "namespaces"},
    {"NetNamespaces", "errno EPERM unshare if a0.lo & CLONE_NEWNET == CLONE_NEWNET # not here", "namespaces"},
    {"IpcNamespaces", "errno EPERM unshare if a0.lo & CLONE_NEWIPC == CLONE_NEWIPC # not here", "namespaces"},
    {"UtsNamespaces", "errno EPERM unshare if a0.lo & CLONE_NEWUTS == CLONE_NEWUTS # not here", "namespaces"},
    {"CgroupNamespaces", "errno EPERM unshare if a0.lo & CLONE_NEWCGROUP == CLONE_NEWCGROUP # not here", "namespaces"},
    {"Mounting", "errno EPERM mount # not here", "mounts"},
    {"DetachedMounts", "errno ENOSYS open_tree # an old kernel", "mounts"},
    {"MovingMounts", "errno EPERM move_mount # not here", "mounts"},
    {"ReadOnlyBinds", "errno ENOSYS mount_setattr # before Linux 5.12", "mounts"},
    {"PivotRoot", "errno EPERM pivot_root # not here", "mounts"},
    {"DetachingTheOldRoot", "errno EPERM umount2 # not here", "mounts"},
    {"Rlimits", "errno EPERM prlimit64 if a2 != 0 # not here\nerrno EPERM setrlimit # not here", "rlimits"},
    {"DroppingCapabilities", "errno EPERM capset # not here", "identity"},
    {"TheBoundingSet", "errno EPERM prctl if a0.lo == 24 # PR_CAPBSET_DROP", "identity"},
    {"AmbientCapabilities", "errno EINVAL prctl if a0.lo == 47 # PR_CAP_AMBIENT", "identity"},
    {"Securebits", "errno EPERM prctl if a0.lo == 28 # PR_SET_SECUREBITS", "identity"},
    {"NoNewPrivileges", "errno EINVAL prctl if a0.lo == PR_SET_NO_NEW_PRIVS # not here", "identity"},
    {"Seccomp", "errno EINVAL seccomp # a kernel without", "seccomp"},
};

// The jailer in a world where the rules hold. Whatever they do not name works.
JailerUnderTest::Options Without(const std::string& rules, std::vector<std::string> arguments) {
  return {.arguments = std::move(arguments),
          .world = absl::StrCat("exec " CARREL_TESTS_BIN "/without_calls 'default errno ENOSYS # not meant\n", rules,
                                "\n' \"$@\"")};
}

std::vector<std::string> ArgumentsOf(const std::string& tier) {
  if (tier == "full") return {"--tier=full"};
  return {"--tier=userns", "--allow-no-cgroup"};
}

class MissingLayer : public ::testing::TestWithParam<std::tuple<const char*, Missing>> {
 protected:
  void SetUp() override {
    if (std::string(std::get<0>(GetParam())) == "full" && ::geteuid() != 0) GTEST_SKIP() << "the tier full needs root";
  }
};

TEST_P(MissingLayer, IsNoExecution) {
  const auto& [tier, missing] = GetParam();
  const auto jailer = JailerUnderTest::Start(Without(missing.rules, ArgumentsOf(tier)));
  ASSERT_FALSE(jailer.ok()) << "it started all the same";
  EXPECT_THAT(std::string(jailer.status().message()),
              AllOf(HasSubstr(absl::StrCat(missing.layer, ": ")), HasSubstr("Mend: ")));
}

INSTANTIATE_TEST_SUITE_P(Tiers, MissingLayer,
                         ::testing::Combine(::testing::Values("full", "userns"), ::testing::ValuesIn(kMissing)),
                         [](const auto& test) {
                           return absl::StrCat(std::get<0>(test.param), "_", std::get<1>(test.param).name);
                         });

// A kernel's version is no set-up: namespaces, uid and mounts do not rest on Landlock. It runs, and says that it is
// less, in the report and thereby in the capabilities and in every outcome.
TEST(MissingLayers, LandlockIsReported) {
  for (const char* tier : {"full", "userns"}) {
    if (std::string(tier) == "full" && ::geteuid() != 0) continue;
    const auto jailer =
        JailerUnderTest::Start(Without("errno ENOSYS landlock_create_ruleset # an old kernel", ArgumentsOf(tier)));
    ASSERT_TRUE(jailer.ok()) << jailer.status();
    const JailReport report = (*jailer)->maker().report();
    EXPECT_EQ(report.tier, tier);
    EXPECT_THAT(report.weakened, Contains(HasSubstr("landlock")));
    for (const LayerState& layer : report.layers) {
      if (layer.name == "landlock") {
        EXPECT_FALSE(layer.active);
        EXPECT_THAT(layer.mend, HasSubstr("Linux 5.13"));
      }
    }
    EXPECT_EQ(RunScript((*jailer)->maker(), "echo runs"), "runs\n");
  }
}

// Runs a shell command in the mount namespace of the process.
bool InMountsOf(pid_t pid, const std::string& command) {
  auto child = ChildProcess::Spawn(
      {.argv = {"/usr/bin/nsenter", "--mount", "--target", absl::StrCat(pid), "/bin/sh", "-ec", command}});
  if (!child.ok()) return false;
  const auto end = child->Wait(absl::Seconds(10));
  return end.has_value() && end->ok();
}

// What worked when it was tried and does not work when it is needed ends the session before its first instruction.
TEST(MissingLayers, AControlGroupThatIsGone) {
  if (::geteuid() != 0) GTEST_SKIP() << "an ordinary user has no control group to lose";
  const auto jailer = JailerUnderTest::Start(
      {.arguments = UsualArguments(), .world = "mount --make-rprivate /; exec \"$@\"", .unshare = {"--mount"}});
  ASSERT_TRUE(jailer.ok()) << jailer.status();
  EXPECT_EQ(RunScript((*jailer)->maker(), "echo before"), "before\n");
  const pid_t pid = (*jailer)->process().pid();
  ASSERT_TRUE(InMountsOf(pid, "mount -t tmpfs none /sys/fs/cgroup"));
  for (const char* policy : {"shell", "forks"}) {
    const auto running = StartJail((*jailer)->maker(), policy);
    EXPECT_FALSE(running.ok()) << policy;
    EXPECT_THAT(running.status().ToString(), HasSubstr("cgroup")) << policy;
  }
  ASSERT_TRUE(InMountsOf(pid, "umount /sys/fs/cgroup"));
  EXPECT_EQ(RunScript((*jailer)->maker(), "echo after"), "after\n");
}

}  // namespace
}  // namespace carrel::sandbox
