// The tier `confined`, in a pod that allows nothing else; and what happens there when a layer is missing. Root only: it
// takes rights to take rights away.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "confined_places.h"
#include "pod.h"
#include "sandbox/base/process_info.h"

namespace carrel::sandbox {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string RefusalOf(const Pod& pod) {
  const auto jailer = JailerUnderTest::Start(InPod(pod));
  return jailer.ok() ? "it started all the same" : std::string(jailer.status().message());
}

std::unique_ptr<JailerUnderTest> Start(const Pod& pod = {}) {
  auto jailer = JailerUnderTest::Start(InPod(pod));
  EXPECT_TRUE(jailer.ok()) << jailer.status();
  return jailer.ok() ? *std::move(jailer) : nullptr;
}

// What a Python program prints in a jail of its own, which is gone then.
std::string RunPython(JailMaker& maker, const std::string& code, const JailLimits& limits = {}) {
  auto running = StartJail(maker, "python", limits);
  if (!running.ok()) return running.status().ToString();
  return running->Finish(code);
}

class ConfinedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can make the pod";
  }
};

// ---- what is promised

TEST_F(ConfinedTest, RunsAProgramAndSaysWhatItLacks) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  EXPECT_EQ(RunScript(jailer->maker(), "echo $((6*7)); pwd; id -u"), "42\n/mnt/data\n12345\n");
  const JailReport report = jailer->maker().report();
  EXPECT_EQ(report.tier, "confined");
  const auto layer = [&report](const std::string& name) {
    const auto found = std::find_if(report.layers.begin(), report.layers.end(),
                                    [&name](const LayerState& l) { return l.name == name; });
    return found != report.layers.end() && found->active;
  };
  EXPECT_FALSE(layer("namespaces"));
  for (const char* name : {"mounts", "rlimits", "identity", "landlock", "seccomp"}) EXPECT_TRUE(layer(name)) << name;
  EXPECT_THAT(report.weakened, ::testing::Contains(HasSubstr("namespaces: none")));
  ASSERT_FALSE(report.layers.empty());
  EXPECT_THAT(report.layers[0].detail, AllOf(HasSubstr("not held"), HasSubstr("connect")));
}

TEST_F(ConfinedTest, AutoNeverChoosesIt) {
  EXPECT_THAT(RefusalOf({.arguments = {"--allow-no-cgroup"}}), HasSubstr("namespaces"));
}

TEST_F(ConfinedTest, AZygoteForksSessionsOneAfterTheOther) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  for (int i = 0; i < 3; ++i) {
    auto running = StartJail(jailer->maker(), "forks");
    ASSERT_TRUE(running.ok()) << running.status();
  }
}

TEST_F(ConfinedTest, ASecondSessionIsRefusedUntilTheFirstIsGone) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  auto first = StartJail(jailer->maker(), "shell");
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = StartJail(jailer->maker(), "shell");
  EXPECT_EQ(second.status().code(), absl::StatusCode::kResourceExhausted) << second.status();
  first->jail.reset();
  EXPECT_EQ(RunScript(jailer->maker(), "echo free"), "free\n");
}

TEST_F(ConfinedTest, TheNextSessionFindsNoFilesOfTheLast) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  EXPECT_EQ(RunScript(jailer->maker(),
                      "for d in /mnt/data /tmp /dev/shm; do echo secret >$d/f; mkdir -p $d/a/b; echo x >$d/a/b/c;"
                      "mkdir $d/shut; echo x >$d/shut/x; chmod 0 $d/shut; ln -s /usr $d/usr; done; echo done"),
            "done\n");
  EXPECT_EQ(RunScript(jailer->maker(), "ls -A /mnt/data /tmp /dev/shm"), "/dev/shm:\n\n/mnt/data:\n\n/tmp:\n");
}

TEST_F(ConfinedTest, AttackDeepDirectoriesAreRemovedAllTheSame) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  RunPython(jailer->maker(), "import os\nfor _ in range(1500):\n  os.mkdir('d')\n  os.chdir('d')\nprint('deep')\n");
  EXPECT_EQ(RunScript(jailer->maker(), "ls -A /mnt/data"), "");
}

TEST_F(ConfinedTest, AttackDaemonsEndWithTheirSession) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  EXPECT_EQ(RunScript(jailer->maker(), "echo first"), "first\n");  // the zygote is up
  const size_t before = Descendants(jailer->process().pid()).size();
  RunPython(jailer->maker(),
            "import os, time\n"
            "for _ in range(20):\n"
            "  if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            "      for fd in range(3): os.close(fd)\n"
            "      time.sleep(600)\n"
            "    os._exit(0)\n");
  EXPECT_TRUE(Eventually([&] { return Descendants(jailer->process().pid()).size() <= before; }));
  EXPECT_EQ(RunScript(jailer->maker(), "echo next"), "next\n");
}

TEST_F(ConfinedTest, AttackEverybodyIsSignalledAndNobodyIsHit) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  const std::string out = RunPython(jailer->maker(),
                                    "import os, signal\n"
                                    "hit = 0\n"
                                    "for pid in range(1, 70000):\n"
                                    "  if pid == os.getpid(): continue\n"
                                    "  try:\n"
                                    "    os.kill(pid, signal.SIGKILL); hit += 1\n"
                                    "  except OSError: pass\n"
                                    "print('hit', hit)\n");
  EXPECT_EQ(out, "hit 0\n");
  EXPECT_EQ(RunScript(jailer->maker(), "kill -9 -1 2>/dev/null; echo unharmed"), "unharmed\n");
  EXPECT_EQ(RunScript(jailer->maker(), "echo alive"), "alive\n");
}

TEST_F(ConfinedTest, AttackTheHostsFilesAreHidden) {
  const auto jailer = Start({.change = "mkdir /mnt/secret; echo secret >/mnt/secret/f; chmod -R a+rX /mnt/secret"});
  ASSERT_NE(jailer, nullptr);
  const std::string out = RunPython(
      jailer->maker(),
      "import os\n"
      "for path in ['/mnt/secret/f', '/mnt/secret', '/mnt/bin/carrel-jailer', '/etc/hostname', '/proc/1/cmdline', "
      "'/proc',\n"
      "             f'/proc/{os.getppid()}/environ', f'/proc/{os.getppid()}/mem', '/var', '/', '/sys/kernel']:\n"
      "  try:\n"
      "    os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(1)\n"
      "    print('OPEN', path)\n"
      "  except PermissionError: pass\n"
      "for path in ['/mnt/secret/f', '/mnt/new', '/usr/new', '/var/tmp/new']:\n"
      "  try:\n"
      "    open(path, 'a'); print('WRITABLE', path)\n"
      "  except OSError: pass\n"
      "print('end')\n");
  EXPECT_EQ(out, "end\n");
}

TEST_F(ConfinedTest, AttackNoSocketLeadsAnywhere) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  const std::string out = RunPython(jailer->maker(),
                                    "import socket\n"
                                    "def tried(what, f):\n"
                                    "  try:\n"
                                    "    f(); print('DONE', what)\n"
                                    "  except OSError as e: print(what, e.errno)\n"
                                    "tried('inet', lambda: socket.socket(socket.AF_INET))\n"
                                    "tried('datagram', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))\n"
                                    "tried('datagrams', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))\n"
                                    "s = socket.socket(socket.AF_UNIX); s.bind('/mnt/data/s'); s.listen()\n"
                                    "tried('connect', lambda: socket.socket(socket.AF_UNIX).connect('/mnt/data/s'))\n"
                                    "a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))\n");
  EXPECT_EQ(out, "inet 1\ndatagram 1\ndatagrams 1\nconnect 1\nb'x'\n");
}

TEST_F(ConfinedTest, AttackTheServersPriorityAndAffinityStay) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  const std::string out = RunPython(
      jailer->maker(),
      "import os\n"
      "def tried(f):\n"
      "  try:\n"
      "    f(); print('DONE')\n"
      "  except PermissionError: print('refused')\n"
      "p = os.getppid()\n"
      "tried(lambda: os.sched_setaffinity(p, {0}))\n"
      "tried(lambda: os.setpriority(os.PRIO_PROCESS, p, 19))\n"
      "tried(lambda: os.setpriority(os.PRIO_USER, 0, 19))\n"
      "os.sched_setaffinity(0, os.sched_getaffinity(0)); os.setpriority(os.PRIO_PROCESS, 0, 1); print('own')\n");
  EXPECT_EQ(out, "refused\nrefused\nrefused\nown\n");
}

TEST_F(ConfinedTest, TheWatchdogEndsWhoTakesTooMuch) {
  const auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  auto running = StartJail(jailer->maker(), "python", {.memory_bytes = 64 << 20});
  ASSERT_TRUE(running.ok()) << running.status();
  running->Finish("import time\nkeep = [bytearray(8 << 20) for _ in range(25)]\ntime.sleep(20)\nprint('kept')\n");
  const auto end = running->jail->WaitForExit(absl::Seconds(10));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_TRUE(end->memory_limit);
}

TEST_F(ConfinedTest, EverythingEndsWhenTheJailerIsKilled) {
  auto jailer = Start();
  ASSERT_NE(jailer, nullptr);
  auto running = StartJail(jailer->maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  const std::string text = "sleep 600 & setsid sleep 600 & echo up\n";
  ASSERT_EQ(::write(running->input.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  char up[3];
  ASSERT_EQ(::read(running->output.get(), up, sizeof up), 3);
  const std::vector<pid_t> all = Descendants(jailer->process().pid());
  EXPECT_GE(all.size(), 5U);
  ASSERT_TRUE(jailer->process().Signal(SIGKILL).ok());
  EXPECT_TRUE(Eventually([&all] { return std::none_of(all.begin(), all.end(), IsAlive); }));
}

TEST_F(ConfinedTest, WithTheRightASessionHasAUserOfItsOwn) {
  const auto jailer =
      Start({.capabilities = "+setuid,+setgid,+setpcap,+kill,+chown,+dac_override,+dac_read_search,+fowner"});
  ASSERT_NE(jailer, nullptr);
  const std::string first = RunScript(jailer->maker(), "id -u; echo mine >f; cat f");
  const std::string second = RunScript(jailer->maker(), "id -u; ls -A");
  EXPECT_THAT(first, AllOf(HasSubstr("18790"), HasSubstr("mine")));
  EXPECT_NE(first.substr(0, first.find('\n')), second.substr(0, second.find('\n')));
  EXPECT_THAT(second, Not(HasSubstr("f\n")));
  auto forked = StartJail(jailer->maker(), "forks");
  EXPECT_TRUE(forked.ok()) << forked.status();
}

// ---- a missing layer is no execution

TEST_F(ConfinedTest, WithoutLandlockNothingRuns) {
  EXPECT_THAT(RefusalOf({.refused_calls = "errno ENOSYS landlock_create_ruleset # an old kernel\n"}),
              AllOf(HasSubstr("landlock"), HasSubstr("Mend")));
  EXPECT_THAT(RefusalOf({.refused_calls = "errno EOPNOTSUPP landlock_restrict_self # switched off\n"}),
              HasSubstr("landlock"));
}

TEST_F(ConfinedTest, WithoutSeccompNothingRuns) {
  EXPECT_THAT(RefusalOf({.refused_calls = "errno EINVAL seccomp # a kernel without\n"}),
              AllOf(HasSubstr("seccomp"), HasSubstr("Mend")));
}

TEST_F(ConfinedTest, WithoutRlimitsNothingRuns) {
  EXPECT_THAT(
      RefusalOf({.refused_calls = "errno EPERM prlimit64 if a2 != 0 # no limits\nerrno EPERM setrlimit # no limits\n"}),
      HasSubstr("rlimits"));
}

TEST_F(ConfinedTest, WithoutNoNewPrivilegesNothingRuns) {
  EXPECT_THAT(RefusalOf({.refused_calls = "errno EINVAL prctl if a0.lo == PR_SET_NO_NEW_PRIVS # a kernel without\n"}),
              AnyOf(HasSubstr("identity"), HasSubstr("landlock")));
}

TEST_F(ConfinedTest, AsRootWithoutTheRightToAnotherUserNothingRuns) {
  EXPECT_THAT(RefusalOf({.capabilities = "+dac_override"}), AllOf(HasSubstr("identity"), HasSubstr("Mend")));
}

TEST_F(ConfinedTest, WithoutPlacesOfItsOwnNothingRuns) {
  // Not /dev/shm: below the pod's lies the machine's own, which is a tmpfs too.
  for (const char* place : {"/mnt/data", "/tmp"}) {
    EXPECT_THAT(RefusalOf({.change = std::string("umount ") + place}), AllOf(HasSubstr(place), HasSubstr("Mend")));
    EXPECT_THAT(RefusalOf({.change = std::string("chmod 755 ") + place}), AllOf(HasSubstr(place), HasSubstr("Mend")));
  }
}

TEST_F(ConfinedTest, WhatSomebodyElseHasMountedOrLeftIsNotEmptied) {
  EXPECT_THAT(RefusalOf({.change = "mkdir /tmp/theirs; mount -t tmpfs none /tmp/theirs"}), HasSubstr("/tmp/theirs"));
  const Pod used{.change = "setpriv --reuid 12345 --clear-groups sh -c 'mkdir /tmp/old; echo old >/tmp/old/file'"};
  if (std::string(ContainerKind()).empty()) {
    EXPECT_THAT(RefusalOf(used), AllOf(HasSubstr("/tmp"), HasSubstr("emptied")));
    return;
  }
  // In a container it can only be what a jailer that was killed has left.
  const auto jailer = Start(used);
  ASSERT_NE(jailer, nullptr);
  EXPECT_EQ(RunScript(jailer->maker(), "ls -A /tmp"), "");
}

// There it can only be what a jailer that was killed has left.
TEST_F(ConfinedTest, InAContainerWhatAKilledJailerHasLeftIsRemoved) {
  const auto jailer = Start({.change = "mount -t tmpfs none /run; touch /run/.containerenv; setpriv --reuid 12345 "
                                       "--clear-groups sh -c 'mkdir /tmp/old; echo old >/tmp/old/file'"});
  ASSERT_NE(jailer, nullptr);
  EXPECT_EQ(RunScript(jailer->maker(), "ls -A /tmp"), "");
}

TEST_F(ConfinedTest, WithoutACgroupOnlyByWord) {
  EXPECT_THAT(RefusalOf({.arguments = {"--tier=confined"}}), HasSubstr("--allow-no-cgroup"));
}

TEST_F(ConfinedTest, ARuleForAPathThatNoBindShowsIsRefused) {
  JailerUnderTest::Options options = InPod({});
  options.more_manifest = "landlock read /opt/nothing  # a typing error\n";
  const auto jailer = JailerUnderTest::Start(options);
  EXPECT_THAT(std::string(jailer.status().message()), HasSubstr("/opt/nothing"));
}

}  // namespace
}  // namespace carrel::sandbox
