// A layer that cannot be set up means no jail at all, and a sentence that says which and why. Each test takes one thing
// away from a world of the jailer's own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>

#include "jail_fixture.h"

namespace carrel::sandbox {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

bool IsRoot() { return ::geteuid() == 0; }

std::vector<std::string> With(const std::string& flag) {
  std::vector<std::string> all = UsualArguments();
  all.push_back(flag);
  return all;
}

std::string RefusalOf(const JailerUnderTest::Options& options) {
  const auto jailer = JailerUnderTest::Start(options);
  return jailer.ok() ? "it started all the same" : std::string(jailer.status().message());
}

TEST(RefusalTest, FullNeedsRoot) {
  if (IsRoot()) GTEST_SKIP() << "for an ordinary user";
  EXPECT_THAT(RefusalOf({.arguments = With("--tier=full")}), HasSubstr("namespaces"));
}

TEST(RefusalTest, NoUserNamespacesLeft) {
  // Inside a user namespace of the test's own, so that the machine's setting stays.
  EXPECT_THAT(RefusalOf({.arguments = {"--tier=userns", "--allow-no-cgroup"},
                         .world = "echo 0 >/proc/sys/user/max_user_namespaces; exec \"$@\"",
                         .unshare = {"--user", "--map-root-user"}}),
              AllOf(HasSubstr("namespaces"), HasSubstr("Mend")));
}

TEST(RefusalTest, AMaskedProc) {
  EXPECT_THAT(RefusalOf({.arguments = {"--tier=userns", "--allow-no-cgroup"},
                         .world = "mount -t tmpfs none /proc/tty; exec \"$@\"",
                         .unshare = {"--user", "--map-root-user", "--mount"}}),
              AllOf(HasSubstr("mounting /proc"), HasSubstr("Mend"), HasSubstr("hostUsers: false"),
                    HasSubstr("procMount: Unmasked"), HasSubstr("`proc none`")));
}

TEST(RefusalTest, ABindThatIsNotThere) {
  EXPECT_THAT(
      RefusalOf({.arguments = UsualArguments(), .more_manifest = "bind /nowhere/at/all /x  # a typing error\n"}),
      AllOf(HasSubstr("shell"), HasSubstr("/nowhere/at/all")));
}

TEST(RefusalTest, AnUnknownServerHasNoPoliciesOfItsOwn) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  auto jailer =
      ChildProcess::Spawn({.argv = {CARREL_BIN "/carrel-jailer", "--server", CARREL_TESTS_BIN "/jailer_relay"},
                           .fds = {{write_end.get(), 2}}});
  ASSERT_TRUE(jailer.ok()) << jailer.status();
  write_end.reset();
  const auto end = jailer->Wait(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 2);
  std::string words(4096, '\0');
  words.resize(static_cast<size_t>(std::max<ssize_t>(0, ::read(read_end.get(), words.data(), words.size()))));
  EXPECT_THAT(words, HasSubstr("--runtimes is missing, and jailer_relay has no default"));
}

TEST(RefusalTest, AManifestWithAnUnknownKey) {
  EXPECT_THAT(RefusalOf({.arguments = UsualArguments(), .more_manifest = "colour green\n"}),
              AllOf(HasSubstr("manifest:"), HasSubstr("colour")));
}

TEST(RefusalTest, AProgramThatCannotBeExecutedIsNoSession) {
  auto jailer = JailerUnderTest::Start(
      {.arguments = UsualArguments(), .more_manifest = "bind /etc/hostname /usr/bin/dash  # not a program\n"});
  ASSERT_TRUE(jailer.ok()) << jailer.status();
  const auto running = StartJail((*jailer)->maker(), "shell");
  EXPECT_EQ(running.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(running.status().message()), HasSubstr("exec"));
}

// As root the cgroup hierarchies are hidden; an ordinary user mostly has none to begin with.
JailerUnderTest::Options WithoutCgroups(std::vector<std::string> arguments) {
  JailerUnderTest::Options options{.arguments = std::move(arguments)};
  if (IsRoot()) {
    options.world = "mount -t tmpfs none /sys/fs/cgroup; exec \"$@\"";
    options.unshare = {"--mount"};
  }
  return options;
}

TEST(RefusalTest, NoCgroupIsOnlyAcceptedByWord) {
  if (!IsRoot() && UsualArguments().empty()) GTEST_SKIP() << "this user has cgroups";
  EXPECT_THAT(RefusalOf(WithoutCgroups({})), AllOf(HasSubstr("cgroup"), HasSubstr("--allow-no-cgroup")));
  const auto allowed = JailerUnderTest::Start(WithoutCgroups({"--allow-no-cgroup"}));
  ASSERT_TRUE(allowed.ok()) << allowed.status();
  EXPECT_THAT((*allowed)->maker().report().weakened, ::testing::Contains("memory: watchdog"));
}

// Version 2 alone is there, and its controllers are not: they are version 1's, which nobody has mounted.
TEST(RefusalTest, AUnifiedHierarchyWithoutControllersIsNoCgroup) {
  if (!IsRoot()) GTEST_SKIP() << "unmounting takes root";
  if (!std::filesystem::exists("/sys/fs/cgroup/memory")) GTEST_SKIP() << "memory is not version 1's here";
  const auto unified_alone = [](std::vector<std::string> arguments) {
    return JailerUnderTest::Options{
        .arguments = std::move(arguments),
        .world =
            "mount --make-rprivate /; for at in $(awk '$3 == \"cgroup\" {print $2}' /proc/mounts); do umount $at; "
            "done; exec \"$@\"",
        .unshare = {"--mount"}};
  };
  EXPECT_THAT(RefusalOf(unified_alone({})),
              AllOf(HasSubstr("cgroup: the memory controller is in no hierarchy"), HasSubstr("--allow-no-cgroup")));
  const auto allowed = JailerUnderTest::Start(unified_alone({"--allow-no-cgroup"}));
  ASSERT_TRUE(allowed.ok()) << allowed.status();
  const JailReport report = (*allowed)->maker().report();
  EXPECT_THAT(report.weakened, ::testing::IsSupersetOf({"memory: watchdog", "cpu: watchdog"}));
  for (const LayerState& layer : report.layers) {
    EXPECT_EQ(layer.active, layer.name != "cgroup") << layer.name;
  }
  EXPECT_EQ(RunScript((*allowed)->maker(), "echo runs"), "runs\n");
}

TEST(RefusalTest, TheWatchdogKillsInTheCgroupsStead) {
  if (!IsRoot() && UsualArguments().empty()) GTEST_SKIP() << "this user has cgroups";
  auto jailer = JailerUnderTest::Start(WithoutCgroups({"--allow-no-cgroup"}));
  ASSERT_TRUE(jailer.ok()) << jailer.status();
  // By several processes, none of which is over the limit alone, and partly in files: one of them goes, not the first.
  auto running = StartJail((*jailer)->maker(), "python", {.memory_bytes = 128 << 20});
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(running->Finish("import os, time\n"
                            "children = []\n"
                            "for i in range(3):\n"
                            "  children.append(os.fork())\n"
                            "  if children[-1] == 0:\n"
                            "    x = bytearray(b'x') * (50 << 20)\n"
                            "    open(f'f{os.getpid()}', 'wb').write(b'y' * (2 << 20))\n"
                            "    time.sleep(20)\n"
                            "    os._exit(0)\n"
                            "ended, status = os.wait()\n"
                            "print(status)\n"
                            "for child in children:\n"
                            "  if child != ended: os.kill(child, 9)\n"),
            "9\n");
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, 0);
  EXPECT_FALSE(end->memory_limit);
  const auto stats = running->jail->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_FALSE(stats->counted);
  EXPECT_GT(stats->memory_peak_bytes, 128 << 20);
  EXPECT_GT(stats->oom_kills, 0);
  EXPECT_GT(stats->cpu_ns, 0);

  auto greedy = StartJail((*jailer)->maker(), "python", {.memory_bytes = 128 << 20});
  ASSERT_TRUE(greedy.ok()) << greedy.status();
  greedy->Finish("import time\nx = bytearray(b'x') * (150 << 20)\ntime.sleep(20)\n");
  const auto killed = greedy->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(killed.has_value());
  EXPECT_EQ(killed->signal, SIGKILL);
  EXPECT_TRUE(killed->memory_limit);
}

}  // namespace
}  // namespace carrel::sandbox
