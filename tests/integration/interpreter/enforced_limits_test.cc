// Each limit of a call and of a session: what the code meets, what the outcome says, what is counted.
#include <string>
#include <vector>

#include "support/missing_layer.h"
#include "tests/integration/interpreter/jailed_test.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class LimitsTest : public JailedTest {
 protected:
  static Ran RunWith(const std::string& code, const v1::Limits& limits) { return client_->Run(session_, code, limits); }
  // Runs `code` in a session of its own.
  static Ran RunIn(const v1::Limits& session_limits, const std::string& code) {
    const std::string session = client_->NewSession(session_limits);
    Ran ran = client_->Run(session, code);
    EXPECT_TRUE(client_->Delete(session));
    return ran;
  }
};

TEST_F(LimitsTest, WallClockOfACall) {
  v1::Limits limits;
  limits.set_wall_ms(300);
  const Ran ran = RunWith("print('before')\nimport time\ntime.sleep(60)", limits);
  EXPECT_EQ(ran.outcome.kind(), v1::TIME_LIMIT);
  EXPECT_EQ(ran.outcome.limit(), v1::LIMIT_WALL);
  EXPECT_EQ(ran.outcome.limit_value(), 300U);
  EXPECT_EQ(ran.out, "before\n");
  EXPECT_GE(ran.outcome.usage().wall_ms(), 300U);
  EXPECT_THAT(ran.outcome.message(), HasSubstr("300 ms"));
  ExpectKept();
}

TEST_F(LimitsTest, CpuOfACall) {
  v1::Limits limits;
  limits.set_cpu_ms(300);
  const Ran ran = RunWith("print('before')\nwhile True: pass", limits);
  EXPECT_EQ(ran.outcome.kind(), v1::CPU_LIMIT) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.outcome.limit(), v1::LIMIT_CPU);
  EXPECT_EQ(ran.outcome.limit_value(), 300U);
  EXPECT_GE(ran.outcome.usage().cpu_ms(), 300U);
  EXPECT_EQ(ran.out, "before\n");
  const Ran sleeping = RunWith("import time; time.sleep(0.6)", limits);
  EXPECT_EQ(sleeping.outcome.kind(), v1::COMPLETED) << "sleeping costs nothing";
  EXPECT_LT(sleeping.outcome.usage().cpu_ms(), 200U);
  ExpectKept();
}

TEST_F(LimitsTest, CpuOfOneProcessThatTheCodeLimitedItself) {
  const Ran ran =
      Run("import resource, signal\nsignal.signal(signal.SIGXCPU, signal.SIG_DFL)\n"
          "resource.setrlimit(resource.RLIMIT_CPU, (1, 5))\nwhile True: pass");
  EXPECT_EQ(ran.outcome.kind(), v1::CPU_LIMIT) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.outcome.signal(), SIGXCPU);
  EXPECT_FALSE(ran.outcome.state_kept());
  ExpectDead();
}

TEST_F(LimitsTest, MemoryOfASession) {
  v1::Limits limits;
  limits.set_memory_bytes(256 << 20);
  const Ran ran = RunIn(limits, "print('before')\nb = []\nwhile True: b.append(bytearray(b'x') * (8 << 20))");
  if (MemoryIsCounted()) {
    EXPECT_EQ(ran.outcome.kind(), v1::MEMORY_LIMIT) << ran.outcome.ShortDebugString();
    EXPECT_EQ(ran.outcome.limit(), v1::LIMIT_MEMORY);
    EXPECT_EQ(ran.outcome.limit_value(), 256U << 20);
    EXPECT_GT(ran.outcome.usage().memory_peak_bytes(), 200U << 20);
    EXPECT_LE(ran.outcome.usage().memory_peak_bytes(), 257U << 20);
  } else {
    EXPECT_THAT(ran.outcome.kind(), ::testing::AnyOf(v1::MEMORY_LIMIT, v1::RAISED)) << ran.outcome.ShortDebugString();
  }
  EXPECT_EQ(ran.out, "before\n");
}

TEST_F(LimitsTest, CpuOfASession) {
  v1::Limits limits;
  limits.set_session_cpu_ms(600);
  const std::string session = client_->NewSession(limits);
  const std::string burn = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass";
  const Ran first = client_->Run(session, burn);
  EXPECT_EQ(first.outcome.kind(), v1::COMPLETED) << first.outcome.ShortDebugString();
  EXPECT_GE(first.outcome.usage().session_cpu_ms(), 390U);
  const Ran second = client_->Run(session, burn);
  EXPECT_EQ(second.outcome.kind(), v1::CPU_LIMIT) << second.outcome.ShortDebugString();
  EXPECT_EQ(second.outcome.limit(), v1::LIMIT_SESSION_CPU);
  EXPECT_EQ(second.outcome.limit_value(), 600U);
  EXPECT_FALSE(second.outcome.state_kept());
  const Ran third = client_->Run(session, "1");
  EXPECT_EQ(third.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(third.status.error_message(), HasSubstr("600 ms"));
  EXPECT_TRUE(client_->Delete(session));
}

TEST_F(LimitsTest, CpuOfWhatACallLeftRunning) {
  v1::Limits limits;
  limits.set_session_cpu_ms(500);
  const std::string session = client_->NewSession(limits);
  EXPECT_EQ(
      client_->Run(session, "import subprocess\nsubprocess.Popen(['sh', '-c', 'while :; do :; done'])").outcome.kind(),
      v1::COMPLETED);
  Ran ran;
  for (int i = 0; i < 100 && ran.status.ok(); ++i) ran = client_->Run(session, "import time; time.sleep(0.1)");
  // Whichever comes first: the call in which it is used up, or the look before the next.
  EXPECT_EQ(ran.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(ran.status.error_message(), HasSubstr("CPU time limit of 500 ms"));
  EXPECT_TRUE(client_->Delete(session));
}

TEST_F(LimitsTest, AKillIsNotTheMemoryLimitBecauseAChildOnceMetIt) {
  CARREL_NEED("ROOT", MemoryIsCounted(), "no cgroup counts the memory");
  v1::Limits limits;
  limits.set_memory_bytes(256 << 20);
  const std::string session = client_->NewSession(limits);
  const Ran child = client_->Run(
      session,
      "import subprocess, sys\n"
      "subprocess.run([sys.executable, '-c', 'b = []\\nwhile True: b.append(bytearray(b\"x\") * (8 << 20))'])");
  EXPECT_EQ(child.outcome.kind(), v1::COMPLETED) << child.outcome.ShortDebugString();
  EXPECT_THAT(child.outcome.limits_touched(), Contains(v1::LIMIT_MEMORY));
  const Ran self = client_->Run(session, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)");
  EXPECT_EQ(self.outcome.kind(), v1::SIGNALLED) << self.outcome.ShortDebugString();
  EXPECT_EQ(self.outcome.signal(), SIGKILL);
  EXPECT_EQ(self.outcome.limit(), v1::LIMIT_NAME_UNSPECIFIED);
  EXPECT_TRUE(client_->Delete(session));
}

TEST_F(LimitsTest, AnExitCodeOf137IsAnExit) {
  const std::string session = client_->NewSession();
  const Ran ran = client_->Run(session, "import os\nos._exit(137)");
  EXPECT_EQ(ran.outcome.kind(), v1::EXITED) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.outcome.exit_code(), 137);
  EXPECT_EQ(ran.outcome.signal(), 0);
  EXPECT_TRUE(client_->Delete(session));
}

TEST_F(LimitsTest, TheWorkspaceCountsAsMemory) {
  CARREL_NEED("ROOT", MemoryIsCounted(), "no cgroup counts the memory");
  v1::Limits limits;
  limits.set_memory_bytes(256 << 20);
  limits.set_workspace_bytes(1 << 30);
  const Ran ran = RunIn(limits, "with open('big', 'wb') as f:\n    while True: f.write(b'x' * (1 << 20))");
  EXPECT_EQ(ran.outcome.kind(), v1::MEMORY_LIMIT) << ran.outcome.ShortDebugString();
}

TEST_F(LimitsTest, ProcessesOfASession) {
  v1::Limits limits;
  limits.set_processes(16);
  const Ran ran =
      RunIn(limits, "import subprocess\nkeep = []\nwhile True: keep.append(subprocess.Popen(['sleep', '9']))");
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.outcome.exception().name(), "BlockingIOError");
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_PROCESSES));
  EXPECT_TRUE(ran.outcome.state_kept());
}

TEST_F(LimitsTest, BytesOfTheWorkspace) {
  v1::Limits limits;
  limits.set_workspace_bytes(2 << 20);
  const Ran ran = RunIn(limits, "with open('a', 'wb') as f: f.write(b'x' * (3 << 20))");
  EXPECT_EQ(ran.outcome.exception().name(), "OSError");
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_WORKSPACE));
}

TEST_F(LimitsTest, FilesOfTheWorkspace) {
  v1::Limits limits;
  limits.set_workspace_files(32);
  const Ran ran = RunIn(limits, "for n in range(100): open(str(n), 'w').close()");
  EXPECT_EQ(ran.outcome.exception().name(), "OSError");
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_WORKSPACE));
}

TEST_F(LimitsTest, AFileOverItsSizeByTheCodesOwnLimit) {
  const Ran raised =
      Run("import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 2000))\n"
          "with open('a', 'wb', buffering=0) as f:\n    f.write(b'x' * 1000)\n    f.write(b'x')");
  EXPECT_EQ(raised.outcome.exception().name(), "OSError");
  EXPECT_THAT(raised.outcome.exception().value(), HasSubstr("Errno 27"));
  const Ran killed =
      Run("import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
          "with open('b', 'wb', buffering=0) as f:\n    f.write(b'x' * 1000)\n    f.write(b'x')");
  EXPECT_EQ(killed.outcome.kind(), v1::FILE_LIMIT) << killed.outcome.ShortDebugString();
  EXPECT_FALSE(killed.outcome.state_kept());
  ExpectDead();
}

TEST_F(LimitsTest, DescriptorsOfAProcess) {
  const Ran ran = Run("import os\nwhile True: os.pipe()");
  EXPECT_EQ(ran.outcome.exception().name(), "OSError");
  EXPECT_THAT(ran.outcome.exception().value(), HasSubstr("Errno 24"));
  Run("os.closerange(4, 2000)");
  ExpectKept();
}

TEST_F(LimitsTest, OutputIsCountedAndDropped) {
  v1::Limits limits;
  limits.set_output_bytes(4096);
  const Ran ran = RunWith("import sys\nfor _ in range(1000): print('x' * 99)\nprint('end', file=sys.stderr)", limits);
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED);
  EXPECT_EQ(ran.out.size() + ran.err.size(), 4096U);
  EXPECT_EQ(ran.outcome.usage().stdout_bytes(), 100'000U);
  EXPECT_EQ(ran.outcome.usage().stderr_bytes(), 4U);
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_OUTPUT));
  ExpectKept();
}

TEST_F(LimitsTest, OutputEndsTheCallWhereAskedFor) {
  v1::ExecuteRequest request;
  request.set_session_id(session_);
  request.set_code("while True: print('x' * 99)");
  request.set_end_at_output_limit(true);
  request.mutable_limits()->set_output_bytes(4096);
  const Ran ran = client_->Execute(request);
  EXPECT_EQ(ran.outcome.kind(), v1::OUTPUT_LIMIT) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.outcome.limit(), v1::LIMIT_OUTPUT);
  EXPECT_EQ(ran.outcome.limit_value(), 4096U);
  EXPECT_THAT(ran.outcome.limits_touched(), IsEmpty()) << "it ended the call, so it was not merely touched";
  EXPECT_EQ(ran.out.size(), 4096U);
  EXPECT_TRUE(ran.outcome.state_kept());
  ExpectKept();
  request.set_code("print('x' * 100)");
  EXPECT_EQ(client_->Execute(request).outcome.kind(), v1::COMPLETED) << "below the limit nothing changes";
}

TEST_F(LimitsTest, DisplaysAreCountedAndDropped) {
  v1::Limits limits;
  limits.set_display_bytes(4096);
  const Ran ran =
      RunWith("from IPython.display import HTML\nfor _ in range(3): display(HTML('x' * 1500))\nprint('on')", limits);
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED);
  EXPECT_EQ(ran.displays.size(), 2U);
  EXPECT_EQ(ran.out, "on\n");
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_DISPLAY));
  EXPECT_GT(ran.outcome.usage().display_bytes(), 4500U);
}

TEST_F(LimitsTest, ArtifactsAreReportedUpToTheirNumber) {
  v1::Limits limits;
  limits.set_artifacts(3);
  const Ran ran = RunWith("for n in range(5): open(f'{n}.txt', 'w').write('x')", limits);
  EXPECT_EQ(ran.artifacts.size(), 3U);
  EXPECT_EQ(ran.outcome.skipped_size(), 2);
  EXPECT_EQ(ran.outcome.skipped(0).reason(), "too many");
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_ARTIFACTS));
}

TEST_F(LimitsTest, CpusOfASession) {
  CARREL_NEED("ROOT", MemoryIsCounted(), "no cgroup limits the CPUs");
  v1::Limits limits;
  limits.set_cpu_millis(500);
  const Ran ran = RunIn(limits, "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass");
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED);
  EXPECT_LT(ran.outcome.usage().cpu_ms(), 1200U) << "half a CPU";
}

TEST_F(LimitsTest, EveryOutcomeTellsWhatWasUsed) {
  for (const char* code : {"print('x')", "print('x'); 1 / 0", "print('x'); import sys; sys.exit(2)",
                           "print('x'); import os; os.abort()"}) {
    const Ran ran = Run(code);
    EXPECT_EQ(ran.outcome.usage().stdout_bytes(), 2U) << code;
    EXPECT_EQ(ran.outcome.isolation().empty(), false) << code;
    EXPECT_GT(ran.outcome.usage().memory_peak_bytes(), 0U) << code;  // most of it is shared with the zygote
  }
}

}  // namespace
}  // namespace carrel::testing
