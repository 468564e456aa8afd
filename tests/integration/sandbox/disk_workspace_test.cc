// Workspaces on a disk: an image each, whose size is the limit, and of which nothing is left however a session ends.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "jail_fixture.h"
#include "sandbox/base/process_info.h"
#include "sandbox/doctor.h"

namespace carrel::sandbox {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Beside the tests' executables: /tmp may be memory.
absl::StatusOr<TempDir> DiskDirectory() { return TempDir::Create(CARREL_TESTS_BIN); }

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.push_back(entry.path().filename());
  return names;
}

// Those whose images lie in the directory; others of the machine have some too.
std::vector<std::string> LoopDevicesOn(const std::string& directory) {
  std::vector<std::string> found;
  for (const auto& block : std::filesystem::directory_iterator("/sys/block")) {
    const auto file = ReadSmallFile(block.path().string() + "/loop/backing_file");
    if (file.ok() && file->starts_with(directory)) found.push_back(block.path().filename());
  }
  return found;
}

std::string RefusalOf(const JailerUnderTest::Options& options) {
  const auto jailer = JailerUnderTest::Start(options);
  return jailer.ok() ? "it started all the same" : std::string(jailer.status().message());
}

class DiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root mounts images";
    auto directory = DiskDirectory();
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    // Where root has no loop devices (a container) there is nothing to test but the refusal.
    const LayerState layer = ExamineDiskWorkspaces(path(), "full");
    if (!layer.active) GTEST_SKIP() << layer.detail << "; " << layer.mend;
    ASSERT_TRUE(Start({}));
  }
  void TearDown() override {
    if (!directory_) return;
    jailer_.reset();
    EXPECT_TRUE(Eventually([this] { return LoopDevicesOn(path()).empty(); })) << "a loop device is left";
    EXPECT_THAT(FilesIn(path()), IsEmpty());
  }
  [[nodiscard]] bool Start(JailerUnderTest::Options options) {
    options.arguments.insert(options.arguments.end(), {"--workspaces", path()});
    auto jailer = JailerUnderTest::Start(options);
    EXPECT_TRUE(jailer.ok()) << jailer.status();
    if (jailer.ok()) jailer_ = *std::move(jailer);
    return jailer.ok();
  }
  [[nodiscard]] const std::string& path() const { return directory_->path(); }
  [[nodiscard]] JailMaker& maker() { return jailer_->maker(); }

  std::optional<TempDir> directory_;
  std::unique_ptr<JailerUnderTest> jailer_;
};

TEST_F(DiskTest, HoldsMoreThanTheMemoryLimit) {
  auto running = StartJail(maker(), "shell", {.memory_bytes = 16 << 20, .workspace_bytes = 64 << 20});
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(running->Finish("head -c 60000000 /dev/zero >big && head -c 4000000 /dev/urandom >>big; wc -c <big\n"
                            "cat big big big | wc -c"),
            "64000000\n192000000\n");
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, 0);
  const auto stats = running->jail->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->oom_kills, 0U);
}

// A twin: what is no file is held to the limit as ever.
TEST_F(DiskTest, MemoryIsLimitedAllTheSame) {
  auto running = StartJail(maker(), "python", {.memory_bytes = 32 << 20, .workspace_bytes = 64 << 20});
  ASSERT_TRUE(running.ok()) << running.status();
  (void)running->Finish("b'x' * (200 << 20)");
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(end->memory_limit);
}

TEST_F(DiskTest, IsFullAtItsLimitToTheBlock) {
  const std::string available = "df --output=avail -B1 . | tail -1 | tr -d ' '\n";
  for (const uint64_t bytes : {uint64_t{1} << 20, uint64_t{4} << 20, uint64_t{63} << 20}) {
    // Two files, for none may be larger than /tmp; what they take beside their bytes is at most a block each.
    const std::string seen =
        RunScript(maker(),
                  absl::StrCat(available, "head -c ", bytes / 2, " /dev/zero >a; head -c 50000000 /dev/zero >b\n",
                               available, "held=$(cat a b | wc -c)\n", "[ $held -le ", bytes, " ] && [ $held -ge ",
                               bytes - 2 * 4096, " ] && echo all || echo $held\nrm a b\n", available),
                  {.workspace_bytes = bytes});
    EXPECT_EQ(seen, absl::StrCat(bytes, "\nhead: error writing 'standard output': No space left on device\n0\nall\n",
                                 bytes, "\n"));
  }
}

TEST_F(DiskTest, EndsAtItsNumberOfFiles) {
  EXPECT_EQ(
      RunScript(maker(), "i=0; while touch f$i; do i=$((i+1)); done 2>/dev/null; ls | wc -l; mkdir d 2>&1 | tail -c 24",
                {.workspace_files = 50}),
      "49\nNo space left on device\n");
}

// What walking through the files would not see: opened, removed, and written for ever.
TEST_F(DiskTest, AFileWithoutANameCountsToo) {
  EXPECT_EQ(RunScript(maker(),
                      "exec 3>held; rm held; head -c 80000000 /dev/zero >&3; ls -A\n"
                      "df --output=avail -B1 . | tail -1 | tr -d ' '; echo x >more; exec 3>&-\necho y >more; cat more",
                      {.workspace_bytes = 4 << 20}),
            "head: error writing 'standard output': No space left on device\n0\n"
            "/bin/sh: 2: echo: echo: I/O error\ny\n");
}

TEST_F(DiskTest, TakesItsSpaceAtOnceAndShowsNoFileOnTheHost) {
  const auto free = [this] { return std::filesystem::space(path()).free; };
  auto running = StartJail(maker(), "shell", {.workspace_bytes = 64 << 20});
  // Others, such as tests at the same time, take and give back space too.
  bool taken = false;
  for (int i = 0; i < 50 && !taken; ++i) {
    const uint64_t before = free();
    running = StartJail(maker(), "shell", {.workspace_bytes = 64 << 20});
    ASSERT_TRUE(running.ok()) << running.status();
    taken = free() < before - (50 << 20);
  }
  EXPECT_TRUE(taken);
  EXPECT_THAT(FilesIn(path()), IsEmpty());
  EXPECT_THAT(LoopDevicesOn(path()), SizeIs(testing::Ge(1)));
  running->jail.reset();
}

TEST_F(DiskTest, LeavesNothingOfASession) {
  // Those that are kept ready have theirs.
  absl::SleepFor(absl::Milliseconds(300));
  const size_t before = LoopDevicesOn(path()).size();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(RunScript(maker(), "head -c 9000000 /dev/zero >f; echo fine"), "fine\n");
  EXPECT_TRUE(Eventually([&] { return LoopDevicesOn(path()).size() == before; }));
}

// More than is written back at the end: dropped.
TEST_F(DiskTest, AFullWorkspaceEndsAtOnce) {
  auto running = StartJail(maker(), "shell", {.workspace_bytes = 64 << 20});
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(running->Finish("head -c 60000000 /dev/urandom >f; echo fine"), "fine\n");
  const absl::Time since = absl::Now();
  running->jail.reset();
  EXPECT_LT(absl::Now() - since, absl::Seconds(2));
}

TEST_F(DiskTest, NothingIsLeftWhenAnyOfUsIsKilled) {
  enum class Whom { kJailer, kNursery, kServer, kDiskKeeper };
  for (const Whom whom : {Whom::kJailer, Whom::kNursery, Whom::kServer, Whom::kDiskKeeper}) {
    std::vector<RunningJail> jails;
    for (int i = 0; i < 3; ++i) {
      auto running = StartJail(maker(), "shell");
      ASSERT_TRUE(running.ok()) << running.status();
      const std::string script = "exec 3>held; rm held; head -c 5000000 /dev/zero >&3; sleep 1000\n";
      ASSERT_GT(::write(running->input.get(), script.data(), script.size()), 0);
      jails.push_back(*std::move(running));
    }
    pid_t keeper = -1;
    for (const pid_t pid : Children(jailer_->process().pid())) {
      const auto name = ReadSmallFile(absl::StrCat("/proc/", pid, "/comm"));
      if (name.ok() && *name == "carrel-disk\n") keeper = pid;
    }
    ASSERT_GT(keeper, 0);
    EXPECT_THAT(LoopDevicesOn(path()), SizeIs(testing::Ge(3)));
    const pid_t victim = whom == Whom::kJailer    ? jailer_->process().pid()
                         : whom == Whom::kNursery ? jailer_->nursery_pid()
                         : whom == Whom::kServer  ? jailer_->server_pid()
                                                  : keeper;
    ASSERT_EQ(::kill(victim, SIGKILL), 0);
    ASSERT_TRUE(jailer_->process().Wait(absl::Seconds(15)).has_value());
    jails.clear();  // a server's descriptors end with it, and here that is us
    EXPECT_TRUE(Eventually([this] { return LoopDevicesOn(path()).empty(); })) << static_cast<int>(whom);
    EXPECT_THAT(FilesIn(path()), IsEmpty());
    EXPECT_TRUE(Eventually([keeper] { return !IsAlive(keeper); }));
    jailer_.reset();
    ASSERT_TRUE(Start({}));
  }
}

TEST_F(DiskTest, ShowsNeitherItsDeviceNorWhatBelongsToNobody) {
  EXPECT_EQ(
      RunScript(maker(),
                "ls -A; find / -name lost+found -o -name rest -o -path /disk 2>/dev/null | grep -v ^/usr\n"
                "ls /dev | tr '\\n' ' '; mknod own b 7 0 2>/dev/null || echo refused; cat /dev/loop0 2>/dev/null\n"
                "grep ' /mnt/data ' /proc/self/mountinfo | cut -d' ' -f4-6; stat -c %a ."),
      "fd full null random shm stderr stdin stdout urandom zero refused\n/data /mnt/data rw,nosuid,nodev,relatime\n"
      "755\n");
}

TEST_F(DiskTest, HoldsNobodyElsesBytes) {
  const std::string secret = "of-another-session-";
  EXPECT_EQ(RunScript(maker(), absl::StrCat("yes ", secret, " | head -c 15000000 >f; sync f; echo done")), "done\n");
  // Space that was taken and never written, all of it.
  EXPECT_EQ(RunScript(maker(), "fallocate -l 16000000 f; wc -c <f; tr -d '\\0' <f | wc -c"), "16000000\n0\n");
}

TEST_F(DiskTest, FilesComeAndGoThroughThePorter) {
  auto running = StartJail(maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  Workspace& workspace = running->jail->workspace();
  EXPECT_THAT(workspace.List({})->entries, IsEmpty());
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe.ok());
  ASSERT_EQ(::write(pipe->write.get(), "a,b\n", 4), 4);
  pipe->write.reset();
  ASSERT_TRUE(workspace.Write("in/table.csv", std::move(pipe->read), {}).ok());
  ASSERT_TRUE(workspace.MakeDirectory("made", {}).ok());
  EXPECT_EQ(running->Finish("cat in/table.csv; tr a-z A-Z <in/table.csv >out; rmdir made; ls"), "a,b\nin\nout\n");
  const auto listing = workspace.List({});
  ASSERT_TRUE(listing.ok()) << listing.status();
  std::vector<std::string> names;
  for (const WorkspaceEntry& entry : listing->entries) names.push_back(entry.path);
  EXPECT_THAT(names, testing::UnorderedElementsAre("in", "out", "in/table.csv"));
  const auto out = workspace.OpenRead("out");
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(ReadToEnd(out->fd.get()), "A,B\n");
  for (const char* name : {"in/table.csv", "in", "out"}) EXPECT_TRUE(workspace.Remove(name).value_or(false)) << name;
  EXPECT_THAT(workspace.List({})->entries, IsEmpty());
}

// The server knows by itself that nothing is there: who asks it of a stopped porter gets an answer.
TEST_F(DiskTest, ThatItIsEmptyIsSeenWithoutThePorter) {
  auto running = StartJail(maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  pid_t init = -1;
  for (const pid_t pid : Descendants(jailer_->nursery_pid())) {
    if (!Children(pid).empty()) init = pid;
  }
  ASSERT_GT(init, 0);
  ASSERT_EQ(::kill(init, SIGSTOP), 0);
  const auto listing = running->jail->workspace().List({});
  ::kill(init, SIGCONT);
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_THAT(listing->entries, IsEmpty());
}

TEST_F(DiskTest, SessionsOfAZygoteAndSparesHaveTheirs) {
  for (int i = 0; i < 6; ++i) {
    auto running = StartJail(maker(), "forks", {.workspace_bytes = (16ULL << 20) + (i % 2) * (1 << 20)});
    ASSERT_TRUE(running.ok()) << running.status();
    EXPECT_EQ(running->jail->limits().workspace_bytes, (16ULL << 20) + (i % 2) * (1 << 20));
  }
}

// Where nobody counts memory but the watchdog: files on a disk are none.
TEST_F(DiskTest, TheWatchdogDoesNotCountIt) {
  jailer_.reset();
  ASSERT_TRUE(Start({.arguments = {"--allow-no-cgroup"},
                     .world = "mount -t tmpfs none /sys/fs/cgroup; exec \"$@\"",
                     .unshare = {"--mount"}}));
  auto running = StartJail(maker(), "shell", {.memory_bytes = 32 << 20, .workspace_bytes = 64 << 20});
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(running->Finish("head -c 60000000 /dev/zero >big; sleep 0.3; wc -c <big"), "60000000\n");
  const auto stats = running->jail->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_LT(stats->memory_peak_bytes, uint64_t{32} << 20);
  // A twin: /tmp is memory.
  EXPECT_NE(RunScript(maker(), "head -c 60000000 /dev/zero >/tmp/big; sleep 0.3; wc -c </tmp/big",
                      {.memory_bytes = 32 << 20, .tmp_bytes = 64 << 20}),
            "60000000\n");
}

TEST_F(DiskTest, IsRefusedWithoutRoomOnTheDisk) {
  jailer_.reset();
  // A disk of its own, mounted where only the jailer sees it.
  auto small = DiskDirectory();
  ASSERT_TRUE(small.ok()) << small.status();
  auto jailer = JailerUnderTest::Start(
      {.arguments = {"--workspaces", small->path() + "/mount"},
       .world = absl::StrCat(
           "cd ", small->path(),
           "; truncate -s 80M image; mke2fs -q -t ext4 image; mkdir mount; mount -o loop image mount; cd /; "
           "rm ",
           small->path(), "/image; exec \"$@\""),
       .unshare = {"--mount", "--propagation", "private"}});
  ASSERT_TRUE(jailer.ok()) << jailer.status();
  JailMaker& maker = (*jailer)->maker();
  for (int i = 0; i < 2; ++i) {
    const auto running = StartJail(maker, "shell", {.workspace_bytes = 64 << 20});
    EXPECT_EQ(running.status().code(), absl::StatusCode::kResourceExhausted) << running.status();
    EXPECT_THAT(std::string(running.status().message()), HasSubstr("the disk of the workspaces has no room"));
    EXPECT_EQ(RunScript(maker, "echo fine", {.workspace_bytes = 1 << 20}), "fine\n");
  }
}

TEST_F(DiskTest, TheDoctorTriesIt) {
  EXPECT_THAT(ExamineDiskWorkspaces(path(), "full").detail, AllOf(HasSubstr("ext4"), HasSubstr(path())));
  const DoctorReport report = Examine({.workspace_directory = path()});
  ASSERT_FALSE(report.layers.empty());
  EXPECT_EQ(report.layers.back().name, "workspace");
  EXPECT_TRUE(report.layers.back().active);
  EXPECT_TRUE(Eventually([this] { return LoopDevicesOn(path()).size() <= 4; }));
}

TEST(DiskRefusalTest, AnOrdinaryUserIsTold) {
  auto directory = DiskDirectory();
  if (!directory.ok()) directory = TempDir::Create();
  ASSERT_TRUE(directory.ok()) << directory.status();
  std::vector<std::string> arguments = {"--tier=userns", "--allow-no-cgroup", "--workspaces", directory->path()};
  EXPECT_THAT(RefusalOf({.arguments = arguments}),
              AllOf(HasSubstr("workspace: "), HasSubstr("only root"), HasSubstr("Mend: run as root"),
                    HasSubstr("workspace_directory")));
}

TEST(DiskRefusalTest, WhatIsMissingIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gets so far";
  auto directory = DiskDirectory();
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_THAT(RefusalOf({.arguments = {"--workspaces", directory->path() + "/none"}}),
              AllOf(HasSubstr("/none: No such file"), HasSubstr("Mend: mkdir -p")));
  EXPECT_THAT(RefusalOf({.arguments = {"--workspaces", "/dev/shm"}}), HasSubstr("is memory (a tmpfs)"));
  EXPECT_THAT(RefusalOf({.arguments = {"--workspaces", directory->path()},
                         .world = "mount -t tmpfs none /dev; for n in null:3 zero:5 full:7 random:8 urandom:9; do "
                                  "mknod -m 666 /dev/${n%:*} c 1 ${n#*:}; done; exec \"$@\"",
                         .unshare = {"--mount"}}),
              AllOf(HasSubstr("/dev/loop-control: No such file"), HasSubstr("Mend: modprobe loop")));
  EXPECT_THAT(RefusalOf({.arguments = {"--workspaces", directory->path()},
                         .world = "mount -t tmpfs none /usr/sbin; exec \"$@\"",
                         .unshare = {"--mount"}}),
              AllOf(HasSubstr("mke2fs is not installed"), HasSubstr("e2fsprogs")));
}

}  // namespace
}  // namespace carrel::sandbox
