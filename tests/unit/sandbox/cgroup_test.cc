#include "sandbox/cgroup.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "fake_cgroup_files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "in_child.h"
#include "sandbox/base/temp_dir.h"
#include "support/missing_layer.h"

namespace carrel::sandbox {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr JailLimits kLimits{.memory_bytes = uint64_t{64} << 20, .processes = 10, .cpu_millis = 500};

class FakeHierarchy : public FakeCgroupFiles {
 protected:
  [[nodiscard]] std::string Read(const std::string& name) const {
    std::ifstream file(Path(name));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  [[nodiscard]] static std::string Own() { return "carrel-" + std::to_string(getpid()); }

  void MakeUnified() const {
    Write("mountinfo", "30 23 0:26 / /cg rw,relatime - cgroup2 cgroup2 rw\n");
    Write("cgroup", "0::/service\n");
    Write("root/cg/service/cgroup.controllers", "cpuset cpu io memory pids\n");
    Write("root/cg/service/cgroup.subtree_control", "\n");
  }
};

TEST_F(FakeHierarchy, UnifiedGetsTheLimitsOfV2) {
  MakeUnified();
  absl::StatusOr<CgroupTree> tree = CgroupTree::Detect(options_);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->Describe(), "v2: memory, pids, cpu");
  EXPECT_EQ(Read("root/cg/service/cgroup.subtree_control"), "+memory +pids +cpu ");
  const std::string own = "root/cg/service/" + Own();
  EXPECT_EQ(Read(own + "/cgroup.subtree_control"), "+memory +pids +cpu ");
  {
    absl::StatusOr<Cgroup> group = tree->Create("session-1", kLimits);
    ASSERT_TRUE(group.ok()) << group.status();
    EXPECT_EQ(Read(own + "/session-1/memory.max"), "67108864");
    EXPECT_EQ(Read(own + "/session-1/pids.max"), "10");
    EXPECT_EQ(Read(own + "/session-1/cpu.max"), "50000 100000");
    EXPECT_FALSE(fs::exists(Path(own + "/session-1/memory.oom.group")));
    ASSERT_TRUE(group->AddToUnified(4242).ok());
    EXPECT_EQ(Read(own + "/session-1/cgroup.procs"), "4242");

    Write(own + "/session-1/memory.current", "1000\n");
    Write(own + "/session-1/memory.peak", "2000\n");
    Write(own + "/session-1/memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n");
    Write(own + "/session-1/pids.current", "4\n");
    Write(own + "/session-1/pids.events", "max 5\n");
    Write(own + "/session-1/cpu.stat", "usage_usec 123\nuser_usec 100\n");
    const absl::StatusOr<JailStats> stats = group->Stats();
    ASSERT_TRUE(stats.ok());
    EXPECT_EQ(stats->memory_bytes, 1000U);
    EXPECT_EQ(stats->memory_peak_bytes, 2000U);
    EXPECT_EQ(stats->oom_kills, 3U);
    EXPECT_EQ(stats->processes, 4U);
    EXPECT_EQ(stats->process_refusals, 5U);
    EXPECT_EQ(stats->cpu_ns, 123000U);
  }
  EXPECT_FALSE(fs::exists(Path(own + "/session-1")));
}

TEST_F(FakeHierarchy, UnifiedIsFoundThroughACgroupNamespace) {
  MakeUnified();
  // A container that sees only its own part: the mount's root is the group itself.
  Write("mountinfo", "30 23 0:26 /service /cg/service rw,relatime - cgroup2 cgroup2 rw\n");
  EXPECT_TRUE(CgroupTree::Detect(options_).ok());
}

// A jailer of the same service, or the one before us, has moved everybody into the leaf.
TEST_F(FakeHierarchy, FromTheLeafTheGroupAboveItIsOurs) {
  MakeUnified();
  Write("cgroup", "0::/service/carrel-leaf\n");
  fs::create_directories(Path("root/cg/service/carrel-leaf"));
  absl::StatusOr<CgroupTree> tree = CgroupTree::Detect(options_);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_TRUE(fs::exists(Path("root/cg/service/" + Own())));
  EXPECT_TRUE(fs::is_empty(Path("root/cg/service/carrel-leaf")));
}

TEST_F(FakeHierarchy, MovesWaitUnlessTheMountFavorsThem) {
  MakeUnified();
  absl::StatusOr<CgroupTree> tree = CgroupTree::Detect(options_);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_TRUE(tree->MovesWait());
  tree = absl::UnknownError("destroyed");
  Write("mountinfo", "30 23 0:26 / /cg rw,relatime - cgroup2 cgroup2 rw,nsdelegate,favordynmods\n");
  tree = CgroupTree::Detect(options_);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_FALSE(tree->MovesWait());
}

TEST_F(FakeHierarchy, EachControllerIsUsedWhereItIs) {
  Write("mountinfo",
        "30 23 0:26 / /cg/unified rw - cgroup2 cgroup2 rw\n31 23 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
  Write("cgroup", "1:cpu,cpuacct:/\n0::/\n");
  Write("root/cg/unified/cgroup.controllers", "memory pids\n");
  Write("root/cg/unified/cgroup.subtree_control", "memory pids\n");
  fs::create_directories(Path("root/cg/cpu"));
  absl::StatusOr<CgroupTree> tree = CgroupTree::Detect(options_);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->Describe(), "v1: cpu, cpuacct; v2: memory, pids");
  const absl::StatusOr<Cgroup> group = tree->Create("session-1", kLimits);
  ASSERT_TRUE(group.ok());
  EXPECT_EQ(Read("root/cg/unified/" + Own() + "/session-1/memory.max"), "67108864");
  EXPECT_EQ(Read("root/cg/cpu/" + Own() + "/session-1/cpu.cfs_quota_us"), "50000");
}

TEST_F(FakeHierarchy, SaysWhichControllerIsMissing) {
  MakeUnified();
  Write("root/cg/service/cgroup.controllers", "cpu memory\n");
  const absl::Status status = CgroupTree::Detect(options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the pids controller"));
  Write("cgroup", "0::/../elsewhere\n");
  EXPECT_THAT(std::string(CgroupTree::Detect(options_).status().message()), HasSubstr("memory"));
}

TEST_F(FakeHierarchy, TheDeadsTreesAreRemovedAndTheLivingsStay) {
  MakeUnified();
  fs::create_directories(Path("root/cg/service/carrel-1/session-9"));
  fs::create_directories(Path("root/cg/service/carrel-leaf"));
  fs::create_directories(Path("root/cg/service/somebody"));
  absl::StatusOr<CgroupTree> tree = CgroupTree::Detect(options_);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_FALSE(fs::exists(Path("root/cg/service/carrel-1")));
  EXPECT_TRUE(fs::exists(Path("root/cg/service/carrel-leaf")));
  EXPECT_TRUE(fs::exists(Path("root/cg/service/somebody")));
  // Another jailer starts while this one lives.
  EXPECT_EQ(InChild([this] { return CgroupTree::Detect(options_).ok() ? 0 : 1; }), 0);
  EXPECT_TRUE(fs::exists(Path("root/cg/service/" + Own())));
}

// The kernel's own, as it is here. Not built with ThreadSanitizer: its run time keeps a thread in every child, and a
// process of two threads may not make a user namespace (EINVAL), from which sessions come into their group.
#if !defined(__SANITIZE_THREAD__)
class RealHierarchy : public ::testing::Test {
 protected:
  void SetUp() override {
    CARREL_NEED("ROOT", geteuid() == 0, "it needs root");
    tree_ = CgroupTree::Detect();
    CARREL_NEED("CGROUP", tree_.ok(), tree_.status());
  }
  // A child that waits for `go`, then does it; in the group, as sessions come into theirs.
  template <typename Body>
  pid_t Start(Cgroup& group, const Body& body) {
    int go[2];
    int entered[2];
    EXPECT_EQ(pipe(go), 0);
    EXPECT_EQ(pipe(entered), 0);
    const absl::StatusOr<std::vector<UniqueFd>> entrances = group.OpenEntrances();
    EXPECT_TRUE(entrances.ok()) << entrances.status();
    const pid_t child = fork();
    if (child == 0) {
      char byte = 0;
      if (read(go[0], &byte, 1) != 1) _exit(99);
      // The rights of who opened them count, not ours.
      if (unshare(CLONE_NEWUSER) != 0) _exit(98);
      for (const UniqueFd& entrance : *entrances) {
        if (EnterCgroup(entrance.get()) != 0) _exit(97);
      }
      if (write(entered[1], "x", 1) != 1) _exit(96);
      _exit(body());
    }
    EXPECT_TRUE(group.AddToUnified(child).ok());
    EXPECT_EQ(write(go[1], "x", 1), 1);
    close(entered[1]);
    char byte = 0;
    EXPECT_EQ(read(entered[0], &byte, 1), 1);
    for (const int fd : {go[0], go[1], entered[0]}) close(fd);
    return child;
  }
  // The groups of that name, of every hierarchy.
  static std::string WhatIsCalled(const std::string& name) {
    std::string found;
    std::error_code gone;  // other tests' groups come and go
    for (fs::recursive_directory_iterator it("/sys/fs/cgroup", fs::directory_options::skip_permission_denied, gone),
         end;
         it != end; it.increment(gone)) {
      if (it->path().filename() == name) found += it->path().string() + " ";
    }
    return found;
  }
  static int Wait(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  absl::StatusOr<CgroupTree> tree_ = absl::UnknownError("not set up");
};

TEST_F(RealHierarchy, KillsWhatTakesTooMuchMemory) {
  absl::StatusOr<Cgroup> group = tree_->Create("memory", kLimits);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto touch = [](size_t bytes) {
    auto* block = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (size_t i = 0; i < bytes; i += 4096) block[i] = 1;
    return 0;
  };
  EXPECT_EQ(Wait(Start(*group, [&] { return touch(size_t{16} << 20); })), 0);
  EXPECT_EQ(group->OomKills(), 0U);
  EXPECT_EQ(Wait(Start(*group, [&] { return touch(size_t{256} << 20); })), 128 + SIGKILL);
  EXPECT_EQ(group->OomKills(), 1U);
  const absl::StatusOr<JailStats> stats = group->Stats();
  ASSERT_TRUE(stats.ok());
  EXPECT_TRUE(stats->counted);
  EXPECT_GE(stats->memory_peak_bytes, uint64_t{60} << 20);
  EXPECT_LE(stats->memory_peak_bytes, uint64_t{64} << 20);
}

TEST_F(RealHierarchy, StopsAForkBombAndKillsIt) {
  absl::StatusOr<Cgroup> group = tree_->Create("bomb", kLimits);
  ASSERT_TRUE(group.ok()) << group.status();
  const pid_t bomb = Start(*group, [] {
    while (true) {
      if (fork() < 0) usleep(1000);
    }
    return 0;
  });
  while (group->Stats()->process_refusals == 0) usleep(1000);
  EXPECT_LE(group->Stats()->processes, 10U);
  EXPECT_TRUE(group->KillAll().ok());
  EXPECT_TRUE(group->Processes().empty());
  EXPECT_EQ(Wait(bomb), 128 + SIGKILL);
}

TEST_F(RealHierarchy, CountsCpuAndThrottles) {
  absl::StatusOr<Cgroup> group = tree_->Create("cpu", kLimits);
  ASSERT_TRUE(group.ok()) << group.status();
  const pid_t child = Start(*group, [] {
    while (true) {
    }
    return 0;
  });
  usleep(1'000'000);
  const uint64_t used = group->Stats()->cpu_ns;
  EXPECT_TRUE(group->KillAll().ok());
  Wait(child);
  EXPECT_GT(used, 100'000'000U);
  // Half a CPU for a second, and a period's slack.
  EXPECT_LT(used, 750'000'000U);
}

TEST_F(RealHierarchy, ANameWithALeftoverIsRefusedAndWhatIsThereStays) {
  absl::StatusOr<Cgroup> group = tree_->Create("session-1", kLimits);
  ASSERT_TRUE(group.ok()) << group.status();
  const pid_t child = Start(*group, [] { return pause(); });
  const absl::StatusOr<Cgroup> again = tree_->Create("session-1", kLimits);
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("session-1"));
  EXPECT_TRUE(group->IsThere());
  EXPECT_THAT(group->Processes(), ::testing::ElementsAre(child));
  EXPECT_TRUE(tree_->Create("session-2", kLimits).ok());
  EXPECT_TRUE(group->Remove().ok());
  EXPECT_EQ(Wait(child), 128 + SIGKILL);
  EXPECT_TRUE(tree_->Create("session-1", kLimits).ok());
}

TEST_F(RealHierarchy, WhatAKilledJailerLeavesIsSweptWithWhatRunsInIt) {
  int alive[2];
  int ready[2];
  ASSERT_EQ(pipe(alive), 0);
  ASSERT_EQ(pipe(ready), 0);
  const pid_t jailer = fork();
  if (jailer == 0) {
    close(alive[0]);
    absl::StatusOr<CgroupTree> tree = CgroupTree::Detect();
    if (!tree.ok()) _exit(1);
    absl::StatusOr<Cgroup> group = tree->Create("session-1", kLimits);
    if (!group.ok()) _exit(2);
    (void)Start(*group, [&alive] {
      // As the nursery does: the jailer's lock ends with the jailer. Of the pipe only the session's process has the
      // end.
      for (int fd = 3; fd < 1024; ++fd) {
        if (fd != alive[1]) close(fd);
      }
      return pause();
    });
    close(alive[1]);
    if (write(ready[1], "x", 1) != 1) _exit(3);
    while (true) pause();
  }
  close(alive[1]);
  close(ready[1]);
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const std::string name = "carrel-" + std::to_string(jailer);
  EXPECT_THAT(WhatIsCalled(name), HasSubstr(name));
  ASSERT_EQ(kill(jailer, SIGKILL), 0);
  EXPECT_EQ(Wait(jailer), 128 + SIGKILL);
  EXPECT_THAT(WhatIsCalled(name), HasSubstr(name)) << "nobody has tidied up yet";
  EXPECT_EQ(InChild([] { return CgroupTree::Detect().ok() ? 0 : 1; }), 0);
  EXPECT_EQ(WhatIsCalled(name), "");
  pollfd ended{.fd = alive[0], .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ended, 1, 10'000), 1) << "its session's process lives";
  close(alive[0]);
  close(ready[0]);
}

TEST_F(RealHierarchy, LeavesNoDirectoryBehind) {
  absl::StatusOr<CgroupTree> tree = std::move(tree_);
  absl::StatusOr<Cgroup> group = tree->Create("gone", kLimits);
  ASSERT_TRUE(group.ok()) << group.status();
  const pid_t child = Start(*group, [] { return pause(); });
  group = absl::UnknownError("destroyed");
  EXPECT_EQ(Wait(child), 128 + SIGKILL);
  tree = absl::UnknownError("destroyed");
  EXPECT_EQ(WhatIsCalled("carrel-" + std::to_string(getpid())), "");
}
#endif

}  // namespace
}  // namespace carrel::sandbox
