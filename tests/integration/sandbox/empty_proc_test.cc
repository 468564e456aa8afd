// `proc none`: sessions whose /proc is an empty directory, for containers that let nobody mount one.
#include <gmock/gmock.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "jail_fixture.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/process_info.h"
#include "sandbox/base/temp_dir.h"

namespace carrel::sandbox {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// As a container masks it: from then on the kernel lets no user namespace mount another.
constexpr char kMasked[] = "mount -t tmpfs none /proc/tty; exec \"$@\"";

constexpr char kLook[] =
    "ls -A /proc | wc -l; touch /proc/x 2>/dev/null || echo unwritable; mkdir /proc/y 2>/dev/null || echo unwritable\n"
    "ls -A /proc/self /proc/1 /dev/fd /dev/stdin 2>/dev/null; echo end";
constexpr char kNothing[] = "0\nunwritable\nunwritable\nend\n";

class EmptyProcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto jailer = JailerUnderTest::Start({.arguments = UsualArguments(), .every_manifest = "proc none\n"});
    ASSERT_TRUE(jailer.ok()) << jailer.status();
    jailer_ = *std::move(jailer);
  }
  [[nodiscard]] JailMaker& maker() { return jailer_->maker(); }

  std::unique_ptr<JailerUnderTest> jailer_;
};

TEST_F(EmptyProcTest, IsEmptyAndUnwritable) { EXPECT_EQ(RunScript(maker(), kLook), kNothing); }

TEST_F(EmptyProcTest, IsSaidInTheReport) {
  EXPECT_THAT(maker().report().weakened, Contains("proc: empty in shell"));
  EXPECT_THAT(maker().report().weakened, Contains("proc: empty in forks"));
}

// What is done by way of /proc on the way in is done all the same, and from outside it is seen to be.
TEST_F(EmptyProcTest, NothingOfTheWayInIsLeftOut) {
  for (const char* policy : {"python", "forks"}) {
    auto running = StartJail(maker(), policy);
    ASSERT_TRUE(running.ok()) << policy << running.status();
    pid_t main = -1;
    for (const pid_t pid : Descendants(jailer_->process().pid())) {
      const auto status = ReadSmallFile(absl::StrCat("/proc/", pid, "/status"));
      if (status.ok() && status->find("\nSeccomp:\t2") != std::string::npos) main = pid;
    }
    ASSERT_GT(main, 0) << policy;
    const std::string place = absl::StrCat("/proc/", main);
    EXPECT_EQ(ReadSmallFile(place + "/oom_score_adj").value_or(""), "1000\n");
    const std::string status = ReadSmallFile(place + "/status").value_or("");
    EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
    EXPECT_THAT(status, HasSubstr("CapEff:\t0000000000000000"));
    // 0 to 2 (and the driver's channel, of which there is none here): no /proc among them.
    if (std::string(policy) == "forks") {
      EXPECT_THAT(running->Finish("0\n"), HasSubstr("nnp=1 fds=3"));
    } else {
      EXPECT_EQ(running->Finish("import fcntl\n"
                                "def is_open(f):\n"
                                "  try: fcntl.fcntl(f, fcntl.F_GETFD); return True\n"
                                "  except OSError: return False\n"
                                "\n"
                                "print([f for f in range(256) if is_open(f)])\n"),
                "[0, 1, 2]\n");
    }
  }
}

TEST_F(EmptyProcTest, FilesComeAndGoThroughThePorter) {
  auto running = StartJail(maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  for (const bool replace : {false, true}) {
    auto pipe = MakePipe();
    ASSERT_TRUE(pipe.ok());
    ASSERT_EQ(::write(pipe->write.get(), "in\n", 3), 3);
    pipe->write.reset();
    const auto written = running->jail->workspace().Write("a/file", std::move(pipe->read), {.replace = replace});
    ASSERT_TRUE(written.ok()) << written.status();
  }
  EXPECT_EQ(running->Finish("cat a/file; echo out >b"), "in\n");
  const auto out = running->jail->workspace().OpenRead("b");
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(ReadToEnd(out->fd.get()), "out\n");
  EXPECT_TRUE(running->jail->KillAll().ok());
}

// A twin: who says nothing has a /proc of his own, in which there is nobody but he.
TEST(PrivateProcTest, IsWhatASessionHasOtherwise) {
  const auto jailer = JailerUnderTest::Start({.arguments = UsualArguments(), .more_manifest = "proc private\n"});
  ASSERT_TRUE(jailer.ok()) << jailer.status();
  EXPECT_EQ(RunScript((*jailer)->maker(), "[ -e /proc/self/status ] && ls /dev/fd/0 && set -- /proc/[0-9]* && echo $#"),
            "/dev/fd/0\n2\n");  // the init and the shell
  EXPECT_THAT((*jailer)->maker().report().weakened, Not(Contains(HasSubstr("proc:"))));
}

TEST(MaskedProcTest, WithoutAProcSessionsRunWhereNoneCanBeMounted) {
  std::vector<JailerUnderTest::Options> worlds = {{.arguments = {"--tier=userns", "--allow-no-cgroup"},
                                                   .every_manifest = "proc none\n",
                                                   .world = kMasked,
                                                   .unshare = {"--user", "--map-root-user", "--mount"}}};
  if (::geteuid() == 0) {
    worlds.push_back({.every_manifest = "proc none\n", .world = kMasked, .unshare = {"--mount"}});
  }
  for (const JailerUnderTest::Options& world : worlds) {
    const auto jailer = JailerUnderTest::Start(world);
    ASSERT_TRUE(jailer.ok()) << jailer.status();
    EXPECT_EQ(RunScript((*jailer)->maker(), kLook), kNothing) << (*jailer)->maker().report().tier;
    const auto running = StartJail((*jailer)->maker(), "forks");
    EXPECT_TRUE(running.ok()) << running.status();
  }
}

// The doctor is told of the runtimes, and asks for no more than they need.
TEST(MaskedProcTest, TheDoctorKnowsWhoNeedsOne) {
  auto directory = TempDir::Create();
  ASSERT_TRUE(directory.ok()) << directory.status();
  const auto doctor = [&](const std::string& manifest) {
    const std::string place = directory->path() + "/bash";
    const std::string script =
        absl::StrCat("mkdir -p ", place, "; cp " CARREL_SYSCALLS " ", place,
                     "/python.syscalls; { cat " CARREL_BASH_MANIFEST "; echo '", manifest,
                     "'; } | sed 's/^syscalls .*/syscalls python.syscalls/' >", place, "/manifest; chmod -R go-w ",
                     place, "; exec unshare --user --map-root-user --mount sh -c '",
                     "mount -t tmpfs none /proc/tty; exec " CARREL_BIN
                     "/carrel-jailer --doctor --tier userns --allow-no-cgroup --runtimes ",
                     directory->path(), "'");
    auto pipe = MakePipe();
    EXPECT_TRUE(pipe.ok());
    auto process = ChildProcess::Spawn({.argv = {"/bin/sh", "-c", script}, .fds = {{pipe->write.get(), 1}}});
    EXPECT_TRUE(process.ok()) << process.status();
    pipe->write.reset();
    return ReadToEnd(pipe->read.get());
  };
  EXPECT_THAT(doctor(""), HasSubstr("`proc none`"));
  EXPECT_THAT(doctor("proc none"), HasSubstr("an empty /proc"));
}

TEST(MaskedProcTest, OnePolicyThatWantsOneIsEnoughToRefuse) {
  const auto jailer = JailerUnderTest::Start({.arguments = {"--tier=userns", "--allow-no-cgroup"},
                                              .more_manifest = "proc none\n",
                                              .world = kMasked,
                                              .unshare = {"--user", "--map-root-user", "--mount"}});
  ASSERT_FALSE(jailer.ok());
  EXPECT_THAT(std::string(jailer.status().message()), HasSubstr("in the manifest of every runtime"));
}

}  // namespace
}  // namespace carrel::sandbox
