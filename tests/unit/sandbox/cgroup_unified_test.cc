// The version 2 hierarchy of this machine's own kernel, with whatever controllers it has: beside version 1 mostly none
// that limits. What limits do is RealHierarchy's (cgroup_test.cc), in the version that has them; on a machine of
// version 2 alone that is this one (tests/support/cgroup_v2_machine.sh).
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "cgroup_files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "in_child.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/temp_dir.h"
#include "sandbox/cgroup.h"
#include "support/missing_layer.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class UnifiedKernel : public ::testing::Test {
 protected:
  void SetUp() override {
    CARREL_NEED("ROOT", geteuid() == 0, "it needs root");
    own_ = OwnGroup({});
    if (own_.empty()) GTEST_SKIP() << "no file system of the type cgroup2 is mounted that shows our own group";
    group_ = Concat(own_, "/carrel-test-", getpid());
    ASSERT_EQ(mkdir(group_.c_str(), 0755), 0) << group_ << ": " << strerror(errno);
  }
  void TearDown() override {
    if (group_.empty()) return;
    KillBelow(group_);
    EXPECT_TRUE(RemoveGroup(group_, true).ok());
    EXPECT_FALSE(fs::exists(group_));
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
  static void KillBelow(const std::string& directory) {
    for (const std::string& name : GroupsBelow(directory)) KillBelow(Concat(directory, "/", name));
    EXPECT_TRUE(KillGroup(directory, kCleanupRounds).ok()) << directory;
  }

  // "": no mount shows it.
  static std::string OwnGroup(const CgroupOptions& options) {
    for (const CgroupPlace& place : FindGroupsUpwards(options, "memory")) {
      if (place.unified) return place.directory;
    }
    return "";
  }
  [[nodiscard]] std::string Make(const std::string& name) const {
    const std::string directory = Concat(group_, "/", name);
    EXPECT_EQ(mkdir(directory.c_str(), 0755), 0) << directory << ": " << strerror(errno);
    return directory;
  }
  static bool Populated(const std::string& directory) {
    return GroupNumber(directory, "cgroup.events", "populated") == 1;
  }
  // Where the kernel says that the process is, below the hierarchy's root.
  static std::string GroupOf(pid_t pid) {
    std::ifstream file(Concat("/proc/", pid, "/cgroup"));
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("0::")) return line.substr(3);
    }
    return "";
  }
  // A child that is moved in and then let go.
  static pid_t Start(const std::string& directory, const std::function<int()>& body) {
    absl::StatusOr<Pipe> go = MakePipe();
    EXPECT_TRUE(go.ok());
    const pid_t child = fork();
    if (child == 0) {
      char byte = 0;
      _exit(read(go->read.get(), &byte, 1) == 1 ? body() : 99);
    }
    EXPECT_TRUE(WriteGroupFile(directory, "cgroup.procs", Concat(child), true).ok());
    EXPECT_EQ(write(go->write.get(), "x", 1), 1);
    return child;
  }
  static int Sleep() {
    while (true) pause();
  }
  static int Wait(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  std::string own_;
  std::string group_;
};

TEST_F(UnifiedKernel, WhoIsMovedInIsThereAndSoAreItsChildren) {
  const std::string session = Make("session-1");
  EXPECT_FALSE(Populated(session));
  const pid_t child = Start(session, [] {
    if (fork() == 0) Sleep();
    return Sleep();
  });
  EXPECT_THAT(GroupOf(child), HasSubstr(Concat("/carrel-test-", getpid(), "/session-1")));
  while (GroupProcesses(session).size() < 2) usleep(1000);
  EXPECT_THAT(GroupProcesses(session), ::testing::Contains(child));
  EXPECT_TRUE(Populated(session));
  // What is below counts.
  EXPECT_TRUE(Populated(group_));
  EXPECT_THAT(GroupProcesses(group_), IsEmpty());
  EXPECT_THAT(GroupOf(getpid()), Not(HasSubstr("session-1")));
  EXPECT_TRUE(KillGroup(session, kCleanupRounds).ok());
  EXPECT_EQ(Wait(child), 128 + SIGKILL);
  EXPECT_FALSE(Populated(group_));
}

// Each process makes the next and ends: whoever goes through a list of them is always late.
TEST_F(UnifiedKernel, KillingEndsWhatForksFasterThanItCanBeListed) {
  const std::string session = Make("session-1");
  std::vector<pid_t> first;
  for (int i = 0; i < 3; ++i) {
    first.push_back(Start(session, [] {
      setsid();
      while (true) {
        if (fork() > 0) _exit(0);
      }
      return 0;
    }));
  }
  for (const pid_t child : first) EXPECT_EQ(Wait(child), 0);
  usleep(20'000);
  EXPECT_TRUE(Populated(session));
  EXPECT_TRUE(KillGroup(session, kCleanupRounds).ok());
  EXPECT_FALSE(Populated(session));
  usleep(20'000);
  EXPECT_FALSE(Populated(session)) << "some of them had got away";
  EXPECT_TRUE(RemoveGroup(session, true).ok());
  EXPECT_FALSE(fs::exists(session));
}

TEST_F(UnifiedKernel, AGroupWhoseDeadNobodyHasReapedIsRemoved) {
  const std::string session = Make("session-1");
  const pid_t child = Start(session, &Sleep);
  EXPECT_TRUE(KillGroup(session, kCleanupRounds).ok());
  EXPECT_TRUE(RemoveGroup(session, true).ok());
  EXPECT_FALSE(fs::exists(session));
  EXPECT_EQ(Wait(child), 128 + SIGKILL);
}

TEST_F(UnifiedKernel, AGroupWithSomebodyInItIsNotRemovedAndSaysSo) {
  const std::string session = Make("session-1");
  const pid_t child = Start(session, &Sleep);
  const absl::Status removed = RemoveGroup(session, true);
  EXPECT_THAT(std::string(removed.message()), HasSubstr("session-1"));
  EXPECT_FALSE(removed.ok());
  EXPECT_THAT(GroupProcesses(session), ElementsAre(child));
}

TEST_F(UnifiedKernel, ADeadJailersTreeGoesWithWhatRunsInItAndALivingOnesStays) {
  const std::string dead = Make("carrel-1");
  ASSERT_EQ(mkdir((dead + "/session-7").c_str(), 0755), 0);
  ASSERT_EQ(mkdir((dead + "/trial").c_str(), 0755), 0);
  const pid_t stray = Start(dead + "/session-7", &Sleep);
  const std::string other = Make("somebody");
  // A jailer that is killed as it stands: it had made its tree and held the lock.
  const std::string killed = Concat(group_, "/carrel-2");
  EXPECT_EQ(InChild([&killed] {
              const absl::StatusOr<UniqueFd> lock = MakeLockedGroup(killed);
              if (!lock.ok() || mkdir((killed + "/session-1").c_str(), 0755) != 0) return 1;
              return raise(SIGKILL);
            }),
            128 + SIGKILL);
  const std::string living = Concat(group_, "/carrel-3");
  const absl::StatusOr<UniqueFd> lock = MakeLockedGroup(living);
  ASSERT_TRUE(lock.ok()) << lock.status();
  RemoveDeadTrees(group_, true);
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_FALSE(fs::exists(killed));
  EXPECT_TRUE(fs::exists(living));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_EQ(Wait(stray), 128 + SIGKILL);
}

// The pid of a jailer that was killed comes round again.
TEST_F(UnifiedKernel, ALeftoverOfTheSameNameIsTakenAndAHeldOneIsNot) {
  const std::string name = Make("carrel-4");
  const absl::StatusOr<UniqueFd> lock = MakeLockedGroup(name);
  EXPECT_TRUE(lock.ok()) << lock.status();
  const absl::StatusOr<UniqueFd> second = MakeLockedGroup(name);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("carrel-4 is held by another process"));
}

// Any controller that the kernel has here shows how they are enabled; mostly it is one that we do not need.
class UnifiedController : public UnifiedKernel {
 protected:
  void SetUp() override {
    UnifiedKernel::SetUp();
    if (own_.empty() || HasFatalFailure()) return;
    // Other cases, in processes of their own, would enable and disable it between.
    turn_.reset(::open((testing::TempDir() + "/carrel-controller-turn").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(turn_);
    ASSERT_EQ(::flock(turn_.get(), LOCK_EX), 0);
    // These may be used beside processes.
    const std::vector<std::string> threaded{"cpu", "cpuset", "perf_event", "pids"};
    for (const std::string& name : WordsIn(own_, "cgroup.controllers")) {
      if (std::find(threaded.begin(), threaded.end(), name) == threaded.end()) controller_ = name;
    }
    if (controller_.empty()) GTEST_SKIP() << own_ << " has no controller that asks for a group without processes";
    const std::vector<std::string> enabled = WordsIn(own_, "cgroup.subtree_control");
    was_enabled_ = std::find(enabled.begin(), enabled.end(), controller_) != enabled.end();
    const absl::Status status = EnableBelow(own_, {controller_}, true);
    if (absl::IsFailedPrecondition(status)) GTEST_SKIP() << status;
    ASSERT_TRUE(status.ok()) << status;
  }
  void TearDown() override {
    UnifiedKernel::TearDown();
    if (!controller_.empty() && !was_enabled_) {
      EXPECT_TRUE(WriteGroupFile(own_, "cgroup.subtree_control", Concat("-", controller_), true).ok());
    }
  }
  static std::vector<std::string> WordsIn(const std::string& directory, const std::string& file) {
    const absl::StatusOr<std::string> text = ReadGroupFile(directory, file);
    std::vector<std::string> words;
    if (!text.ok()) return words;
    for (const std::string_view word : Words(*text)) words.emplace_back(word);
    return words;
  }

  UniqueFd turn_;
  std::string controller_;
  bool was_enabled_ = false;
};

TEST_F(UnifiedController, IsEnabledForTheGroupsBelow) {
  const std::string tree = Make("tree");
  EXPECT_THAT(WordsIn(tree, "cgroup.controllers"), IsEmpty());
  ASSERT_TRUE(EnableBelow(group_, {controller_}, true).ok());
  EXPECT_THAT(WordsIn(tree, "cgroup.controllers"), ElementsAre(controller_));
  ASSERT_TRUE(EnableBelow(tree, {controller_}, true).ok());
  // Once more is no error.
  ASSERT_TRUE(EnableBelow(tree, {controller_}, true).ok());
  ASSERT_EQ(mkdir((tree + "/session-1").c_str(), 0755), 0);
  EXPECT_THAT(WordsIn(tree + "/session-1", "cgroup.controllers"), ElementsAre(controller_));
}

// Only a group without processes may have controllers for those below.
TEST_F(UnifiedController, IsNotEnabledInAGroupWithProcessesThatIsNotOurs) {
  const pid_t child = Start(group_, &Sleep);
  const absl::Status status = EnableBelow(group_, {controller_}, true);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Delegate=yes"));
  EXPECT_THAT(GroupProcesses(group_), ElementsAre(child));
}

// systemd's mark. Whoever is in the group goes into a leaf of his own; what the next jailer finds as its own group,
// from inside that leaf, is the group above it: `carrel serve` has two jailers, and starts each again when it dies.
TEST_F(UnifiedController, ADelegatedGroupsProcessesMakeRoomAndTheNextJailerFindsTheSamePlace) {
  ASSERT_EQ(setxattr(group_.c_str(), "user.delegate", "1", 1, 0), 0) << strerror(errno);
  // Some of them fork meanwhile.
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(Start(group_, [] {
      for (int fork_number = 0; fork_number < 200; ++fork_number) {
        if (fork() == 0) _exit(0);
        while (waitpid(-1, nullptr, WNOHANG) > 0) {
        }
      }
      return Sleep();
    }));
  }
  const absl::Status status = EnableBelow(group_, {controller_}, true);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(WordsIn(group_, "cgroup.subtree_control"), ElementsAre(controller_));
  EXPECT_THAT(GroupProcesses(group_), IsEmpty());
  for (const pid_t child : children) EXPECT_TRUE(GroupOf(child).ends_with("/carrel-leaf")) << GroupOf(child);
  const CgroupOptions from_the_leaf{.own_groups = Concat("/proc/", children[0], "/cgroup")};
  EXPECT_EQ(OwnGroup(from_the_leaf), group_);
  for (const pid_t child : children) kill(child, SIGKILL);
  for (const pid_t child : children) Wait(child);
}

// Where version 1 has the controllers and nobody mounts it, version 2 is there and of no use.
TEST_F(UnifiedKernel, WithoutItsControllersThereIsNoTreeAndTheOneMissingIsNamed) {
  const std::vector<std::string_view> needed{"memory", "pids", "cpu"};
  const absl::StatusOr<std::string> offered = ReadGroupFile(own_, "cgroup.controllers");
  ASSERT_TRUE(offered.ok());
  const std::vector<std::string_view> names = Words(*offered);
  if (std::all_of(needed.begin(), needed.end(), [&names](std::string_view name) {
        return std::find(names.begin(), names.end(), name) != names.end();
      })) {
    GTEST_SKIP() << "version 2 has them all here: what it does is RealHierarchy's";
  }
  const absl::StatusOr<TempDir> directory = TempDir::Create();
  ASSERT_TRUE(directory.ok());
  const std::string table = directory->path() + "/mountinfo";
  {
    std::ifstream in("/proc/self/mountinfo");
    std::ofstream out(table);
    for (std::string line; std::getline(in, line);) {
      if (line.find(" - cgroup2 ") != std::string::npos) out << line << "\n";
    }
  }
  const absl::Status status = CgroupTree::Detect({.mounts = table}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("controller is in no hierarchy that shows our own group"));
  EXPECT_FALSE(fs::exists(Concat(own_, "/carrel-", getpid())));
}

}  // namespace
}  // namespace carrel::sandbox
