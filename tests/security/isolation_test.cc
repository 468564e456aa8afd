// Attacks that take more than one program: two sessions, uploads, and the death of one of our own processes.
#include <signal.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "session.h"
#include "shared_server.h"
#include "support/jailed_server.h"
#include "support/missing_layer.h"

namespace carrel::testing {
namespace {

SharedServer& Shared() {
  static auto* const shared = static_cast<SharedServer*>(::testing::AddGlobalTestEnvironment(new SharedServer));
  return *shared;
}
[[maybe_unused]] const SharedServer& kRegistered = Shared();

class Isolation : public ::testing::TestWithParam<Tier> {
 protected:
  void SetUp() override {
    const absl::StatusOr<JailedServer*> server = Shared().For(GetParam());
    CARREL_NEED("ROOT", server.status().code() != absl::StatusCode::kFailedPrecondition, server.status());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *server;
    interpreter_ = std::make_unique<Interpreter>(server_->channel());
    ExpectCleanSession(*interpreter_, GetParam());
  }
  void TearDown() override {
    if (server_ == nullptr) return;
    ExpectCleanSession(*interpreter_, GetParam());
    const size_t at_rest = ProcessesAtRest(GetParam());
    EXPECT_LE(WaitForProcesses(*server_, GetParam(), at_rest), at_rest) << "a process of a session is left";
    if (HasFailure()) Shared().Spoil();
  }

  JailedServer* server_ = nullptr;
  std::unique_ptr<Interpreter> interpreter_;
};

// Everything by which processes of one machine could meet, offered by one session and looked for by another: beside it,
// or, where there is one at a time, after it.
TEST_P(Isolation, TwoSessionsDoNotMeet) {
  const bool in_turn = GetParam() == Tier::kConfined;
  const std::string first = interpreter_->Create();
  std::string second = in_turn ? "" : interpreter_->Create();
  const Reply offered = interpreter_->Run(first, R"(
import ctypes, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind("\0meeting")
listener.listen()
segment = libc.shmget(0x1234, 4096, 0o1666)
for path in ("/tmp/meeting", "/dev/shm/meeting", "/mnt/data/meeting"):
    open(path, "w").close()
    os.chmod(path, 0o666)
queue = libc.syscall(240, b"meeting", os.O_CREAT | os.O_RDWR, 0o666, None)
print("offered", segment >= 0, queue >= 0)
)");
  // POSIX queues are refused to all; SysV segments where no cgroup counts their memory.
  EXPECT_EQ(offered.out, GetParam() == Tier::kFull ? "offered True False\n" : "offered False False\n") << offered.err;
  if (in_turn) {
    interpreter_->Delete(first);
    second = interpreter_->Create();
  }
  const Reply sought = interpreter_->Run(second, R"(
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
met = []
try:
    socket.socket(socket.AF_UNIX).connect("\0meeting")
    met.append("abstract socket")
except OSError:
    pass
if libc.shmget(0x1234, 4096, 0) >= 0:
    met.append("shared memory")
if libc.syscall(240, b"meeting", os.O_RDWR, 0, None) >= 0:
    met.append("message queue")
met += [path for path in ("/tmp/meeting", "/dev/shm/meeting", "/mnt/data/meeting") if os.path.exists(path)]
try:
    met += [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]
except PermissionError:
    pass
print("met", met)
)");
  EXPECT_EQ(sought.out, "met []\n") << sought.err;
  if (!in_turn) interpreter_->Delete(first);
  interpreter_->Delete(second);
}

TEST_P(Isolation, OneSessionsCrashLeavesTheOtherAlone) {
  if (GetParam() == Tier::kConfined) {
    const std::string only = interpreter_->Create();
    EXPECT_EQ(interpreter_->Run(only, "import os; os.abort()").outcome.kind(), interpreter::v1::SIGNALLED);
    interpreter_->Delete(only);
    return ExpectCleanSession(*interpreter_, GetParam());
  }
  const std::string victim = interpreter_->Create();
  const std::string other = interpreter_->Create();
  EXPECT_EQ(interpreter_->Run(other, "kept = 41").outcome.kind(), interpreter::v1::COMPLETED);
  EXPECT_EQ(interpreter_->Run(victim, "import os; os.abort()").outcome.kind(), interpreter::v1::SIGNALLED);
  EXPECT_EQ(interpreter_->Run(other, "print(kept + 1)").out, "42\n");
  interpreter_->Delete(victim);
  interpreter_->Delete(other);
}

TEST_P(Isolation, UploadsWithHostileNamesAreRefused) {
  const std::string session = interpreter_->Create();
  const std::vector<std::string> names = {"../out",
                                          "/etc/passwd",
                                          "a/../../out",
                                          "",
                                          ".",
                                          "..",
                                          "a//b",
                                          "a/./b",
                                          std::string("a\0b", 3),
                                          "new\nline",
                                          "esc\x1b[0m",
                                          std::string(256, 'n'),
                                          std::string(1025, 'p'),
                                          "bad\xff",
                                          "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r"};
  for (const std::string& name : names) {
    EXPECT_FALSE(interpreter_->Upload(session, name, "x").ok()) << name;
  }
  EXPECT_TRUE(interpreter_->Files(session).empty());
  EXPECT_TRUE(interpreter_->Upload(session, "fine/name.txt", "x").ok());
  interpreter_->Delete(session);
}

TEST_P(Isolation, UploadsDoNotFollowPlantedLinks) {
  const std::string session = interpreter_->Create();
  const Reply planted = interpreter_->Run(session, R"(
import os
os.symlink("/tmp", "/mnt/data/folder")
os.symlink("/tmp/target", "/mnt/data/file.txt")
os.mkfifo("/mnt/data/pipe.txt")
)");
  EXPECT_EQ(planted.outcome.kind(), interpreter::v1::COMPLETED);
  EXPECT_FALSE(interpreter_->Upload(session, "folder/through.txt", "x", true).ok());
  EXPECT_FALSE(interpreter_->Upload(session, "file.txt", "x", false).ok());
  // Replacing replaces the link or the FIFO itself, or is refused; it neither writes through nor waits.
  static_cast<void>(interpreter_->Upload(session, "file.txt", "x", true));
  static_cast<void>(interpreter_->Upload(session, "pipe.txt", "x", true));
  EXPECT_EQ(interpreter_->Run(session, "import os; print(os.listdir('/tmp'))").out, "[]\n");
  interpreter_->Delete(session);
}

// The jailer is killed while a session is at its worst: nothing of it may live on.
TEST_P(Isolation, NothingOutlivesAKilledJailer) {
  const std::string session = interpreter_->Create(ParseLimits("processes=32"));
  const Reply reply = interpreter_->Run(session, R"(
import os, signal, time
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            time.sleep(0.01)
)");
  EXPECT_EQ(reply.outcome.kind(), interpreter::v1::COMPLETED) << reply.outcome.ShortDebugString();
  EXPECT_GE(server_->Processes().size(), 8U);
  const std::string left = server_->Kill();
  EXPECT_EQ(left.find("process "), std::string::npos) << left;
  EXPECT_EQ(left.find("mount "), std::string::npos) << left;
  // Its control groups stay until the next jailer starts, which removes them.
  const pid_t dead = server_->jailer();
  server_ = nullptr;
  Shared().Spoil();
  const absl::StatusOr<JailedServer*> next = Shared().For(GetParam());
  ASSERT_TRUE(next.ok()) << next.status();
  LeftoverWatch watch;
  EXPECT_EQ(watch.Find(dead, absl::Seconds(2)), "");
  ExpectCleanSession(Interpreter((*next)->channel()), GetParam());
}

std::string NameOfCase(const ::testing::TestParamInfo<Tier>& info) { return NameOf(info.param); }
// One after the other, so that each tier has one server.
INSTANTIATE_TEST_SUITE_P(Full, Isolation, ::testing::Values(Tier::kFull), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Userns, Isolation, ::testing::Values(Tier::kUserns), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Confined, Isolation, ::testing::Values(Tier::kConfined), NameOfCase);

}  // namespace
}  // namespace carrel::testing
