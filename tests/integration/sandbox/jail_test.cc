// A jail from outside and from inside: what runs in it sees only what the policy says, and is counted and ended.
#include <gmock/gmock.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "absl/time/clock.h"
#include "jail_fixture.h"

namespace carrel::sandbox {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(JailTest, ProgramRunsAndItsOutputIsCaptured) {
  auto running = StartJail(maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(running->Finish("echo out; echo err >&2; exit 7"), "out\nerr\n");
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 7);
  EXPECT_EQ(end->signal, 0);
  EXPECT_FALSE(end->memory_limit);
  pollfd exit_fd{.fd = running->jail->exit_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&exit_fd, 1, 0), 1);
}

TEST_F(JailTest, PythonRuns) {
  auto running = StartJail(maker(), "python");
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(running->Finish("import os, sys\nprint(sum(range(10)), os.getcwd(), sorted(os.environ))"),
            "45 /mnt/data ['HOME', 'LC_CTYPE', 'PATH']\n");
}

TEST_F(JailTest, HostFilesAreNotThere) {
  EXPECT_EQ(RunScript(maker(),
                      "for f in /etc/shadow /root /home /boot /sys /var/log /t /proc/1/root/t /usr; do "
                      "[ -e $f ] && echo $f; done"),
            "/usr\n");
}

TEST_F(JailTest, NothingOutsideTheWorkspaceCanBeWritten) {
  EXPECT_THAT(
      RunScript(maker(), "echo x >/usr/x; echo x >/etc/x; echo x >/x; mkdir /dev/y; echo fine >/tmp/x && cat /tmp/x"),
      ::testing::AllOf(HasSubstr("cannot create /usr/x"), HasSubstr("cannot create /etc/x"),
                       HasSubstr("cannot create /x"), HasSubstr("cannot create directory"), HasSubstr("fine")));
}

TEST_F(JailTest, OnlyItsOwnProcessesAreVisible) {
  // The init and the shell; the loop uses built-ins only.
  EXPECT_EQ(RunScript(maker(), "for p in /proc/[0-9]*; do echo $p; done; echo $$"), "/proc/1\n/proc/2\n2\n");
}

TEST_F(JailTest, InitCannotBeKilledOrLookedInto) {
  EXPECT_THAT(
      RunScript(maker(), "kill -9 1; kill -STOP 1; ls /proc/1/fd; cat /proc/1/environ /proc/1/maps; echo alive"),
      ::testing::AllOf(HasSubstr("alive"), HasSubstr("Permission denied")));
}

TEST_F(JailTest, InitSaysNothingOfTheHost) {
  EXPECT_EQ(RunScript(maker(), "tr -d '\\0' </proc/1/cmdline; echo; cat /proc/1/comm"),
            "carrel-nursery\ncarrel-init\n");
}

TEST_F(JailTest, HasExactlyItsDescriptors) {
  auto running = StartJail(maker(), "python");
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(running->Finish("import os\nprint([f for f in range(300) if os.path.exists(f'/proc/self/fd/{f}')])"),
            "[0, 1, 2]\n");
}

TEST_F(JailTest, ControlIsDescriptorThree) {
  auto control = MakeSocketPair();
  ASSERT_TRUE(control.ok());
  auto output = MakePipe();
  ASSERT_TRUE(output.ok());
  auto input = MakePipe();
  ASSERT_TRUE(input.ok());
  JailRequest request{.policy = "python"};
  request.control = std::move(control->second);
  request.standard_input = std::move(input->read);
  auto jail = maker().Create(std::move(request), absl::Now() + absl::Seconds(20));
  ASSERT_TRUE(jail.ok()) << jail.status();
  const std::string program = "import os\nos.write(3, b'hello')\n";
  ASSERT_EQ(::write(input->write.get(), program.data(), program.size()), static_cast<ssize_t>(program.size()));
  input->write.reset();
  std::array<std::byte, 16> buffer;
  auto received = ReceiveMessage(control->first.get(), buffer);
  ASSERT_TRUE(received.ok());
  EXPECT_EQ(received->size, 5);
}

TEST_F(JailTest, HasNoCapabilitiesAndNoNewPrivileges) {
  const std::string status = RunScript(maker(), "cat /proc/self/status");
  EXPECT_THAT(status, HasSubstr("CapPrm:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("CapBnd:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("CapAmb:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(status, HasSubstr("Seccomp:\t2"));
}

TEST_F(JailTest, EverySessionHasItsOwnUserInFull) {
  if (maker().report().tier != "full") GTEST_SKIP() << "userns has one uid for all; its sessions differ by namespace";
  EXPECT_NE(RunScript(maker(), "id -u"), RunScript(maker(), "id -u"));
}

TEST_F(JailTest, InterruptReachesTheProgram) {
  auto running = StartJail(maker(), "python");
  ASSERT_TRUE(running.ok()) << running.status();
  const std::string program =
      "import time\ntry:\n  print('ready', flush=True)\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  "
      "print('stopped')\n";
  ASSERT_GT(::write(running->input.get(), program.data(), program.size()), 0);
  running->input.reset();
  char ready[6];
  ASSERT_EQ(::read(running->output.get(), ready, 6), 6);
  ASSERT_TRUE(running->jail->Interrupt().ok());
  EXPECT_EQ(ReadToEnd(running->output.get()), "stopped\n");
}

TEST_F(JailTest, KillAllEndsEverythingAndKeepsTheWorkspace) {
  auto running = StartJail(maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  const std::string script = "echo kept >file; (setsid sleep 60 &) ; echo ready; sleep 60\n";
  ASSERT_GT(::write(running->input.get(), script.data(), script.size()), 0);
  char ready[6];
  ASSERT_EQ(::read(running->output.get(), ready, 6), 6);
  ASSERT_TRUE(running->jail->KillAll().ok());
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_FALSE(end->memory_limit);
  EXPECT_EQ(ReadToEnd(running->output.get()), "");  // nobody holds the pipe any more
  auto file = running->jail->workspace().OpenRead("file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(ReadToEnd(file->fd.get()), "kept\n");
}

TEST_F(JailTest, MemoryLimitKillsAndIsNamed) {
  auto running = StartJail(maker(), "python", {.memory_bytes = 64 << 20});
  ASSERT_TRUE(running.ok()) << running.status();
  running->Finish("import time\nx = bytearray(200 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\ntime.sleep(5)\n");
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_TRUE(end->memory_limit);
  EXPECT_EQ(RunScript(maker(), "echo next"), "next\n");
}

TEST_F(JailTest, ProcessLimitRefusesForks) {
  const std::string output =
      RunScript(maker(), "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo done", {.processes = 8});
  EXPECT_THAT(output, ::testing::AnyOf(HasSubstr("fork"), HasSubstr("Resource temporarily unavailable")));
  EXPECT_EQ(RunScript(maker(), "echo next"), "next\n");
}

TEST_F(JailTest, OneSessionsProcessesAreNotCountedForAnother) {
  std::vector<RunningJail> jails;
  for (int i = 0; i < 4; ++i) {
    auto running = StartJail(maker(), "shell", {.processes = 12});
    ASSERT_TRUE(running.ok()) << running.status();
    const std::string script = "for i in 1 2 3 4 5 6 7 8; do sleep 30 & done; echo ready; wait\n";
    ASSERT_GT(::write(running->input.get(), script.data(), script.size()), 0);
    char ready[7] = {};
    ASSERT_EQ(::read(running->output.get(), ready, 6), 6);
    EXPECT_STREQ(ready, "ready\n");
    jails.push_back(*std::move(running));
  }
}

TEST_F(JailTest, WorkspaceLimitFillsUp) {
  EXPECT_THAT(RunScript(maker(), "head -c 9000000 /dev/zero >big", {.workspace_bytes = 4 << 20}),
              HasSubstr("No space left"));
  EXPECT_THAT(RunScript(maker(), "i=0; while [ $i -lt 50 ]; do : >f$i; i=$((i+1)); done", {.workspace_files = 16}),
              HasSubstr("No space left"));
}

TEST_F(JailTest, StatsCount) {
  auto running = StartJail(maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  running->Finish("head -c 3000000 /dev/zero >big; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
  ASSERT_TRUE(running->jail->WaitForExit(absl::Seconds(10)).has_value());
  auto stats = running->jail->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GT(stats->cpu_ns, 1'000'000);
  EXPECT_GT(stats->memory_peak_bytes, 3'000'000);
}

TEST_F(JailTest, ALimitOverTheCapIsRefused) {
  const auto running = StartJail(maker(), "shell", {.memory_bytes = uint64_t{1} << 40});
  EXPECT_EQ(running.status().code(), absl::StatusCode::kInvalidArgument) << running.status();
  EXPECT_EQ(StartJail(maker(), "nothing").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(JailTest, LimitsInForceAreTold) {
  auto running = StartJail(maker(), "shell", {.processes = 17});
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(running->jail->limits().processes, 17);
  EXPECT_EQ(running->jail->limits().workspace_files, 256);
}

TEST_F(JailTest, DestroyedJailsLeaveNoProcess) {
  // Server, nursery, zygote and two spare inits; with workspaces on disk their keeper, and a child of it for each
  // init.
  const size_t family = std::getenv("CARREL_TEST_WORKSPACES") == nullptr || ::geteuid() != 0 ? 5 : 8;
  ASSERT_TRUE(Eventually([&] { return Descendants(jailer_->process().pid()).size() == family; }));
  for (int i = 0; i < 20; ++i) {
    auto running = StartJail(maker(), "shell");
    ASSERT_TRUE(running.ok()) << running.status();
    const std::string script = "(setsid sleep 60 &); (setsid sleep 60 &); sleep 60\n";
    ASSERT_GT(::write(running->input.get(), script.data(), script.size()), 0);
  }
  EXPECT_TRUE(Eventually([&] { return Descendants(jailer_->process().pid()).size() == family; }))
      << Descendants(jailer_->process().pid()).size();
}

TEST_F(JailTest, TwentyAtOnce) {
  std::vector<RunningJail> jails;
  for (int i = 0; i < 20; ++i) {
    auto running = StartJail(maker(), "shell");
    ASSERT_TRUE(running.ok()) << running.status();
    jails.push_back(*std::move(running));
  }
  for (RunningJail& jail : jails) EXPECT_EQ(jail.Finish("echo $$"), "2\n");
}

}  // namespace
}  // namespace carrel::sandbox
