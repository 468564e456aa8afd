// What the kernel has no more of: descriptors of those who make sessions, processes, namespaces, files, memory, disk.
// Each time it is one session that is refused, with the reason; the jailer and whoever else has a session go on.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "scarcity_fixture.h"
#include "support/syscall_watch.h"

namespace carrel::sandbox {
namespace {

using carrel::testing::SyscallWatch;
using ::testing::AnyOf;
using ::testing::HasSubstr;

class ExhaustionTest : public ScarcityTest {
 protected:
  // Tries a session of each kind; how many were refused. Those must be told why, at once.
  int Refused(const std::string& reason, const std::string& when) {
    int refused = 0;
    for (const char* policy : {"shell", "forks"}) {
      const absl::Time begin = absl::Now();
      const auto jail = StartJail(maker(), policy);
      EXPECT_LT(absl::Now() - begin, absl::Seconds(15)) << policy << ", " << when;
      if (jail.ok()) continue;
      ++refused;
      EXPECT_THAT(jail.status().code(), AnyOf(absl::StatusCode::kResourceExhausted, absl::StatusCode::kUnavailable))
          << policy << ", " << when << ": " << jail.status();
      EXPECT_THAT(std::string(jail.status().message()), AnyOf(HasSubstr(reason), HasSubstr("no descriptor")))
          << policy << ", " << when;
    }
    EXPECT_FALSE(jailer_->process().Wait(absl::ZeroDuration()).has_value()) << when;
    return refused;
  }
};

TEST_F(ExhaustionTest, ANurseryWithoutDescriptorsRefusesAndLivesOn) {
  auto before = StartJail(maker(), "shell");
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(StartJail(maker(), "forks").ok());
  const pid_t nursery = Nursery();
  const rlim_t most = MostDescriptors(nursery);
  int refused = 0;
  // Each limit lets another step be the one that fails; those of the init too, which has the nursery's limit.
  for (rlim_t limit = 3; limit < 30 && !HasFailure(); ++limit) {
    LimitDescriptors(nursery, limit);
    refused += Refused(std::strerror(EMFILE), "with " + std::to_string(limit));
  }
  EXPECT_GT(refused, 3);
  LimitDescriptors(nursery, most);
  ExpectAllIsWell();
  EXPECT_EQ(before->Finish("echo untouched"), "untouched\n");
}

// ---- processes

// In a control group of its own.
class FullGroupTest : public ExhaustionTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !std::filesystem::exists("/sys/fs/cgroup/pids/cgroup.procs")) {
      GTEST_SKIP() << "only root, and where the number of processes has a hierarchy of its own";
    }
    group_ = "/sys/fs/cgroup/pids/carrel-test-" + std::to_string(::getpid());
    ASSERT_EQ(::mkdir(group_.c_str(), 0755), 0);
    auto jailer = JailerUnderTest::Start({.world = "echo $$ >" + group_ + "/cgroup.procs; exec \"$@\""});
    ASSERT_TRUE(jailer.ok()) << jailer.status();
    jailer_ = *std::move(jailer);
  }
  void TearDown() override {
    jailer_.reset();
    const bool removed = group_.empty() || Eventually([this] { return ::rmdir(group_.c_str()) == 0; });
    EXPECT_TRUE(removed) << group_;
  }
  [[nodiscard]] int Processes() const {
    int processes = 0;
    std::ifstream(group_ + "/pids.current") >> processes;
    return processes;
  }
  void Allow(const std::string& processes) const { std::ofstream(group_ + "/pids.max") << processes; }

 private:
  std::string group_;
};

TEST_F(FullGroupTest, WithoutRoomForAProcessASessionIsRefusedAndTheRestLivesOn) {
  auto before = StartJail(maker(), "shell");
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(StartJail(maker(), "forks").ok());
  int refused = 0;
  for (int more = 0; more < 8 && !HasFailure(); ++more) {
    Allow(std::to_string(Processes() + more));
    refused += Refused(std::strerror(EAGAIN), "with room for " + std::to_string(more));
  }
  EXPECT_GT(refused, 1);
  Allow("max");
  ExpectAllIsWell();
  EXPECT_EQ(before->Finish("echo untouched"), "untouched\n");
}

// ---- namespaces

// Writes a sysctl of the process's user namespace.
bool WriteInUserNamespaceOf(pid_t pid, const std::string& path, const std::string& text) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int space = ::open(("/proc/" + std::to_string(pid) + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC);
    if (space < 0 || ::setns(space, CLONE_NEWUSER) != 0) ::_exit(1);
    const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0 || ::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(2);
    ::_exit(0);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && status == 0;
}

TEST_F(ExhaustionTest, WithoutAFreeNamespaceASessionIsRefusedAndTheRestLivesOn) {
  if (maker().report().tier != "full") GTEST_SKIP() << "nobody else may say how many there can be";
  auto before = StartJail(maker(), "shell");
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(StartJail(maker(), "forks").ok());
  for (const char* kind : {"mnt", "pid", "net", "ipc", "uts"}) {
    const std::string path = std::string("/proc/sys/user/max_") + kind + "_namespaces";
    ASSERT_TRUE(WriteInUserNamespaceOf(Nursery(), path, "0")) << path;
    EXPECT_GT(Refused(std::strerror(ENOSPC), path), 0);
    ASSERT_TRUE(WriteInUserNamespaceOf(Nursery(), path, "2147483647"));
    EXPECT_EQ(RunScript(maker(), "echo fine"), "fine\n") << path;
  }
  ExpectAllIsWell();
  EXPECT_EQ(before->Finish("echo untouched"), "untouched\n");
}

// ---- whatever else, one call after the other

// What a call that makes or takes something says when there is no more of it: a file, memory, space. The C++ library's
// own memory is not among them: without that we end, as everybody does.
int ErrorOf(int number) {
  static const std::map<int, int> kErrors = {
      {SYS_socketpair, ENFILE}, {SYS_openat, ENFILE},        {SYS_open, ENFILE},         {SYS_pidfd_open, ENFILE},
      {SYS_dup, EMFILE},        {SYS_pipe2, ENFILE},         {SYS_memfd_create, ENFILE}, {SYS_open_tree, ENFILE},
      {SYS_fsopen, ENFILE},     {SYS_fsmount, ENFILE},       {SYS_clone, ENOMEM},        {SYS_clone3, ENOMEM},
      {SYS_fork, ENOMEM},       {SYS_vfork, ENOMEM},         {SYS_unshare, ENOSPC},      {SYS_mount, ENOMEM},
      {SYS_move_mount, ENOMEM}, {SYS_mount_setattr, ENOMEM}, {SYS_pivot_root, ENOMEM},   {SYS_mkdir, ENOSPC},
      {SYS_mkdirat, ENOSPC},    {SYS_symlink, ENOSPC},       {SYS_symlinkat, ENOSPC},    {SYS_epoll_ctl, ENOSPC},
      {SYS_signalfd4, ENFILE},  {SYS_setns, ENOMEM},         {SYS_sethostname, ENOMEM}};
  const auto at = kErrors.find(number);
  return at == kErrors.end() ? 0 : at->second;
}

// Lets the n-th call that can fail for want of something fail.
class Fault final {
 public:
  // 0: none, only counts.
  void Arm(int at) {
    at_ = at;
    seen_ = 0;
    struck_ = 0;
  }
  int operator()(int number, const std::array<uint64_t, 6>&) {
    const int error = ErrorOf(number);
    if (error == 0 || ++seen_ != at_) return 0;
    struck_ = number;
    error_ = error;
    return error;
  }
  [[nodiscard]] int seen() const { return seen_; }
  [[nodiscard]] int struck() const { return struck_; }
  [[nodiscard]] std::string reason() const { return std::strerror(error_); }

 private:
  std::atomic<int> at_ = 0;
  std::atomic<int> seen_ = 0;
  std::atomic<int> struck_ = 0;
  std::atomic<int> error_ = 0;
};

class FaultTest : public ExhaustionTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "tracing the jailer takes root";
    ExhaustionTest::SetUp();
  }
  // Every call of `pid` (and of what it forks) fails once, while a session is made of each kind.
  void FailEachCallOf(pid_t pid) {
    auto before = StartJail(maker(), "shell");
    ASSERT_TRUE(before.ok()) << before.status();
    ASSERT_TRUE(StartJail(maker(), "forks").ok());
    Fault fault;
    int refused = 0;
    {
      SyscallWatch watch(pid, SyscallWatch::Whom::kAll,
                         [&fault](int number, const auto& arguments) { return fault(number, arguments); });
      ASSERT_TRUE(watch.WaitUntilAttached().ok());
      bool more = true;
      for (int at = 1; more && !HasFailure(); ++at) {
        more = false;
        for (const char* policy : {"shell", "forks"}) {
          fault.Arm(at);
          const absl::Time begin = absl::Now();
          const auto jail = StartJail(maker(), policy);
          const std::string when = std::string(policy) + ", call " + std::to_string(at) + " (number " +
                                   std::to_string(fault.struck()) + ": " + fault.reason() + ")";
          EXPECT_LT(absl::Now() - begin, absl::Seconds(15)) << when;
          more = more || fault.struck() != 0;
          if (jail.ok()) continue;
          ++refused;
          EXPECT_NE(fault.struck(), 0) << when << ": " << jail.status();
          EXPECT_THAT(jail.status().code(), AnyOf(absl::StatusCode::kResourceExhausted, absl::StatusCode::kUnavailable))
              << when << ": " << jail.status();
          // Why, or at least where: a file that cannot be read says nothing of why.
          EXPECT_THAT(std::string(jail.status().message()),
                      AnyOf(HasSubstr(fault.reason()), HasSubstr("descriptor"), HasSubstr("cgroup: "),
                            HasSubstr("the session could not be set up: ")))
              << when;
          fault.Arm(0);
          EXPECT_EQ(RunScript(maker(), "echo next"), "next\n") << when;
        }
        ASSERT_FALSE(jailer_->process().Wait(absl::ZeroDuration()).has_value()) << "call " << at;
      }
      fault.Arm(0);
    }
    EXPECT_GT(refused, 5);
    ExpectAllIsWell();
    EXPECT_EQ(before->Finish("echo untouched"), "untouched\n");
  }
};

TEST_F(FaultTest, EachCallOfTheJailerThatFailsIsOneSessionRefused) { FailEachCallOf(jailer()); }

TEST_F(FaultTest, EachCallOfTheNurseryAndTheInitThatFailsIsOneSessionRefused) { FailEachCallOf(Nursery()); }

}  // namespace
}  // namespace carrel::sandbox
