// The runtime `bash`: the same contract as Python's, with a shell's own words.
#include <signal.h>

#include <string>
#include <thread>

#include "tests/integration/interpreter/jailed_test.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::Contains;
using ::testing::HasSubstr;

class BashTest : public JailedTest {
 protected:
  void SetUp() override {
    ASSERT_NE(client_, nullptr);
    session_ = NewShell({});
    ASSERT_NE(session_, "");
  }
  static std::string NewShell(const v1::Limits& limits) {
    grpc::ClientContext context;
    v1::CreateSessionRequest request;
    request.set_runtime("bash");
    *request.mutable_limits() = limits;
    v1::Session session;
    const grpc::Status status = client_->stub().CreateSession(&context, request, &session);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return session.session_id();
  }
};

TEST_F(BashTest, VariablesFunctionsAndTheDirectoryAreKept) {
  EXPECT_EQ(
      Run("x=5; export E='a  b'; declare -A m=([k]='v w'); f() { echo \"f $x $1\"; }; mkdir -p deep; cd deep; alias "
          "hi='echo hello'; shopt -s nullglob; umask 077")
          .outcome.kind(),
      v1::COMPLETED);
  EXPECT_EQ(Run("f arg; echo \"$E\" ${m[k]}; pwd; hi; echo *.none; umask; printenv E").out,
            "f 5 arg\na  b v w\n/mnt/data/deep\nhello\n\n0077\na  b\n");
}

TEST_F(BashTest, TheLastStatusIsTheOutcome) {
  EXPECT_EQ(Run("true").outcome.kind(), v1::COMPLETED);
  const Ran failed = Run("echo out; echo err >&2; false");
  EXPECT_EQ(failed.outcome.kind(), v1::EXITED);
  EXPECT_EQ(failed.outcome.exit_code(), 1);
  EXPECT_TRUE(failed.outcome.state_kept());
  EXPECT_EQ(failed.out, "out\n");
  EXPECT_EQ(failed.err, "err\n");
  const Ran unknown = Run("nosuchcommand");
  EXPECT_EQ(unknown.outcome.exit_code(), 127);
  EXPECT_THAT(unknown.err, HasSubstr("line 1: nosuchcommand: command not found"));
  EXPECT_EQ(Run("if then fi").outcome.exit_code(), 1 + 1) << "a syntax error";
}

TEST_F(BashTest, ExitAndErrexitEndTheCellAndKeepTheState) {
  Run("x=1; f() { echo f; }; cd /tmp");
  const Ran left = Run("x=2; exit 3; echo never");
  EXPECT_EQ(left.outcome.kind(), v1::EXITED);
  EXPECT_EQ(left.outcome.exit_code(), 3);
  EXPECT_EQ(left.out, "");
  EXPECT_TRUE(left.outcome.state_kept());
  EXPECT_EQ(Run("echo $x; f; pwd").out, "2\nf\n/tmp\n");
  EXPECT_EQ(Run("set -e\nfalse\necho never").out, "");
  EXPECT_EQ(Run("set +e; echo $x").out, "2\n");
}

TEST_F(BashTest, FilesAreArtifacts) {
  ASSERT_TRUE(client_->Upload(session_, "in.csv", "a,1\nb,2\n").ok());
  const Ran ran =
      Run("awk -F, '{s += $2} END {print s}' in.csv | tee out.txt; cut -d, -f1 in.csv | sort -r > names.txt");
  EXPECT_EQ(ran.out, "3\n");
  ASSERT_EQ(ran.artifacts.size(), 2U);
  EXPECT_EQ(ran.artifacts[0].path(), "names.txt");
  EXPECT_EQ(client_->Download(session_, "names.txt"), "b\na\n");
  EXPECT_EQ(Run("python3 -c 'print(6 * 7)'").out, "42\n");
}

TEST_F(BashTest, TheTimeLimitInterruptsAndKeepsTheState) {
  Run("x=1");
  for (const char* code : {"echo there; sleep 60", "while :; do :; done", "for i in 1 2 3; do sleep 60; done",
                           "g() { sleep 60; }; g", "sleep 60 | cat", "yes > /dev/null"}) {
    const Ran ran = Run(code, 500);
    EXPECT_EQ(ran.outcome.kind(), v1::TIME_LIMIT) << code << ran.outcome.ShortDebugString();
    EXPECT_TRUE(ran.outcome.state_kept()) << code;
    EXPECT_EQ(Run("echo $x").out, "1\n") << code;
  }
  const Ran stubborn = Run("trap '' INT; while :; do :; done", 500);
  EXPECT_EQ(stubborn.outcome.kind(), v1::TIME_LIMIT);
  EXPECT_FALSE(stubborn.outcome.state_kept());
  ExpectDead();
}

TEST_F(BashTest, InterruptIsAKeyboardInterrupt) {
  std::thread other([] {
    v1::InterruptRequest request;
    request.set_session_id(session_);
    v1::InterruptResponse response;
    for (int i = 0; i < 100 && !response.interrupted(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      grpc::ClientContext context;
      EXPECT_TRUE(client_->stub().Interrupt(&context, request, &response).ok());
    }
  });
  const Ran ran = Run("x=kept; sleep 60");
  other.join();
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED);
  EXPECT_EQ(ran.outcome.exception().name(), "KeyboardInterrupt");
  EXPECT_EQ(Run("echo $x").out, "kept\n");
}

TEST_F(BashTest, LimitsHoldAsInPython) {
  v1::Limits limits;
  limits.set_processes(24);
  limits.set_workspace_bytes(2 << 20);
  limits.set_memory_bytes(128 << 20);
  const std::string shell = NewShell(limits);
  const Ran full = client_->Run(shell, "head -c 4M /dev/zero > big");
  EXPECT_EQ(full.outcome.exit_code(), 1);
  EXPECT_THAT(full.err, HasSubstr("No space left"));
  EXPECT_THAT(full.outcome.limits_touched(), Contains(v1::LIMIT_WORKSPACE));
  v1::Limits call;
  call.set_output_bytes(4096);
  const Ran flood = client_->Run(shell, "rm big; head -c 100000 /dev/zero | tr '\\0' x", call);
  EXPECT_EQ(flood.out.size(), 4096U);
  EXPECT_EQ(flood.outcome.usage().stdout_bytes(), 100'000U);
  call.set_wall_ms(3000);
  const Ran bomb = client_->Run(shell, "b() { b | b & }; b; sleep 60", call);
  if (MemoryIsCounted()) {
    EXPECT_THAT(bomb.outcome.limits_touched(), Contains(v1::LIMIT_PROCESSES));
  }
  EXPECT_TRUE(client_->Delete(shell));
  if (!MemoryIsCounted()) return;
  const std::string other = NewShell(limits);
  const Ran heap = client_->Run(other, "x=$(head -c 400M /dev/zero | tr '\\0' x)");
  EXPECT_THAT(heap.outcome.kind(), ::testing::AnyOf(v1::MEMORY_LIMIT, v1::EXITED, v1::SIGNALLED))
      << heap.outcome.ShortDebugString();
  EXPECT_TRUE(heap.outcome.limit() == v1::LIMIT_MEMORY || heap.outcome.limits_touched_size() > 0)
      << heap.outcome.ShortDebugString();
  EXPECT_TRUE(client_->Delete(other));
}

TEST_F(BashTest, ProgramsTakeTheSessionsCpusForGranted) {
  EXPECT_EQ(Run("nproc").out, "1\n");
  v1::Limits limits;
  limits.set_cpu_millis(1500);
  const std::string shell = NewShell(limits);
  EXPECT_EQ(client_->Run(shell, "nproc; exit 0").out, "2\n");
  EXPECT_EQ(client_->Run(shell, "nproc").out, "2\n") << "also of the shell that followed";
  EXPECT_TRUE(client_->Delete(shell));
}

TEST_F(BashTest, TheJailIsTheSame) {
  EXPECT_NE(Run("cat /etc/shadow").outcome.exit_code(), 0);
  EXPECT_NE(Run("exec 5<>/dev/tcp/127.0.0.1/80").outcome.exit_code(), 0);
  EXPECT_NE(Run("mount -t tmpfs none /tmp").outcome.exit_code(), 0);
  EXPECT_NE(Run("unshare -r true").outcome.exit_code(), 0);
  EXPECT_EQ(Run("ls /proc | grep -c '^[0-9]'").outcome.kind(), v1::COMPLETED);
  EXPECT_EQ(Run("for d in /root /home /var/lib /work /sys/fs; do [ -e $d ] && echo $d; done; true").out, "");
  EXPECT_EQ(Run("env | grep -iE 'secret|key|token'").out, "");
  EXPECT_EQ(Run("cat; echo end").out, "end\n") << "standard input is empty";
}

TEST_F(BashTest, AShellThatIsEndedTakesItsSessionAlong) {
  const Ran killed = Run("echo last; kill -9 $$");
  EXPECT_EQ(killed.outcome.kind(), v1::SIGNALLED) << killed.outcome.ShortDebugString();
  EXPECT_EQ(killed.outcome.signal(), SIGKILL);
  EXPECT_EQ(killed.out, "last\n");
  EXPECT_FALSE(killed.outcome.state_kept());
  ExpectDead();
}

TEST_F(BashTest, WhatTheCodeDoesToTheLoopHurtsItsSessionOnly) {
  for (const char* code :
       {"exec 9>&- 10>&-", "rm -rf /tmp/.carrel; ln -s /etc /tmp/.carrel", "unset -f __carrel_save; exit 1",
        "trap - EXIT; exit 4", "exec true", "echo nonsense >&10; sleep 1", "set -euo pipefail; PATH=; IFS=; x=$y",
        "readonly PWD PATH IFS OPTIND; exit 0", "head -c 300M /dev/zero > /tmp/fill; x=1; exit 5"}) {
    const std::string shell = NewShell({});
    v1::Limits limits;
    limits.set_wall_ms(5000);
    const Ran ran = client_->Run(shell, code, limits);
    EXPECT_TRUE(ran.status.ok()) << code << ran.status.error_message();
    EXPECT_NE(ran.outcome.kind(), v1::INTERNAL) << code;
    const Ran next = client_->Run(shell, "echo next", limits);
    // Alive and working, or dead and said so; never stuck.
    EXPECT_TRUE(next.status.error_code() == grpc::StatusCode::FAILED_PRECONDITION ||
                next.outcome.kind() != v1::INTERNAL)
        << code;
    EXPECT_NE(next.outcome.kind(), v1::TIME_LIMIT) << code;
    EXPECT_TRUE(client_->Delete(shell));
  }
}

TEST_F(BashTest, AThrowAwayCallRunsInIt) {
  v1::ExecuteRequest request;
  request.set_runtime("bash");
  request.set_code("echo $BASH_VERSION | cut -c1-2; echo hi > f.txt");
  request.set_return_files(v1::RETURN_FILES_BYTES);
  const Ran ran = client_->Execute(request);
  EXPECT_EQ(ran.out, "5.\n");
  ASSERT_EQ(ran.artifacts.size(), 1U);
  EXPECT_EQ(ran.artifacts[0].content(), "hi\n");
}

}  // namespace
}  // namespace carrel::testing
