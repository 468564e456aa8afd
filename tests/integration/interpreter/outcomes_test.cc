// The examples of SANDBOX.md §3, each in the real jail: how it ends, and that a session goes on (or the next one does).
#include <signal.h>
#include <unistd.h>

#include "support/missing_layer.h"
#include "tests/integration/interpreter/jailed_test.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::Contains;
using ::testing::HasSubstr;

class OutcomesTest : public JailedTest {};

TEST_F(OutcomesTest, OutputResultFigureAndFile) {
  const Ran ran =
      Run("import matplotlib.pyplot as plt, pandas as pd\nprint('hello')\nplt.plot([1, 2]); plt.savefig('p.png')\n"
          "plt.show()\npd.Series([1, 2]).sum()");
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << ran.outcome.DebugString();
  EXPECT_EQ(ran.out, "hello\n");
  EXPECT_THAT(ran.result(), HasSubstr("3"));
  ASSERT_EQ(ran.artifacts.size(), 1u) << ran.outcome.DebugString();
  EXPECT_EQ(ran.artifacts[0].path(), "p.png");
  EXPECT_EQ(ran.artifacts[0].media_type(), "image/png");
  EXPECT_THAT(client_->Download(session_, "p.png"), ::testing::StartsWith("\x89PNG"));
  ExpectKept();
}

TEST_F(OutcomesTest, AnEndlessLoopIsATimeLimit) {
  const Ran ran = Run("while True: pass", 500);
  EXPECT_EQ(ran.outcome.kind(), v1::TIME_LIMIT);
  EXPECT_EQ(ran.outcome.limit(), v1::LIMIT_WALL);
  EXPECT_TRUE(ran.outcome.state_kept());
  ExpectKept();
}

TEST_F(OutcomesTest, AForkBombTouchesTheProcessLimit) {
  const Ran ran = Run("import os, time\nwhile True:\n    if os.fork() == 0:\n        time.sleep(1)", 3000);
  EXPECT_THAT(ran.outcome.kind(), ::testing::AnyOf(v1::RAISED, v1::TIME_LIMIT)) << ran.outcome.DebugString();
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_PROCESSES)) << ran.outcome.DebugString();
}

TEST_F(OutcomesTest, TouchingTooMuchMemoryIsAMemoryLimit) {
  const Ran ran = Run("print('before', end='')\nb = []\nwhile True: b.append(bytearray(b'x') * (16 << 20))");
  EXPECT_EQ(ran.outcome.kind(), v1::MEMORY_LIMIT) << ran.outcome.DebugString();
  EXPECT_EQ(ran.outcome.limit_value(), 512u << 20);
  EXPECT_EQ(ran.out, "before");
  EXPECT_FALSE(ran.outcome.state_kept());
  ExpectDead();
}

TEST_F(OutcomesTest, AChildOverTheMemoryDoesNotKillItsSession) {
  const Ran ran =
      Run("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'b=[]\\nwhile True: "
          "b.append(bytearray(b\"x\")*(16<<20))']).returncode");
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << ran.outcome.DebugString();
  EXPECT_EQ(ran.result(), "-9");
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_MEMORY));
  ExpectKept();
}

TEST_F(OutcomesTest, AHugeAllocationIsAMemoryError) {
  const Ran ran = Run("bytearray(100 << 30)");
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED);
  EXPECT_EQ(ran.outcome.exception().name(), "MemoryError");
  ExpectKept();
}

TEST_F(OutcomesTest, AConnectionIsAPermissionError) {
  const Ran ran = Run("import socket; socket.create_connection(('127.0.0.1', 80))");
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED);
  EXPECT_EQ(ran.outcome.exception().name(), "PermissionError") << ran.outcome.exception().traceback();
  ExpectKept();
}

TEST_F(OutcomesTest, TheHostsFilesAreNotThere) {
  const Ran ran = Run("open('/etc/shadow')");
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED);
  EXPECT_EQ(ran.outcome.exception().name(), "FileNotFoundError");
  ExpectKept();
}

TEST_F(OutcomesTest, AFullWorkspaceIsAnOSErrorAndTouchesItsLimit) {
  const Ran ran = Run("with open('big', 'wb') as f:\n    for _ in range(100): f.write(b'x' * (1 << 20))");
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED);
  EXPECT_EQ(ran.outcome.exception().name(), "OSError");
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_WORKSPACE));
  ExpectKept();
}

TEST_F(OutcomesTest, AbortIsSignalled) {
  const Ran ran = Run("import os; os.abort()");
  EXPECT_EQ(ran.outcome.kind(), v1::SIGNALLED);
  EXPECT_EQ(ran.outcome.signal(), SIGABRT);
  EXPECT_FALSE(ran.outcome.state_kept());
  ExpectDead();
}

TEST_F(OutcomesTest, SysExitIsExitedAndKeepsTheSession) {
  const Ran ran = Run("import sys; sys.exit(3)");
  EXPECT_EQ(ran.outcome.kind(), v1::EXITED);
  EXPECT_EQ(ran.outcome.exit_code(), 3);
  EXPECT_TRUE(ran.outcome.state_kept());
  ExpectKept();
}

TEST_F(OutcomesTest, AForeignSystemCallIsDenied) {
  // mov eax, 20 (getpid of i386); int 0x80; ret
  const Ran ran =
      Run("import ctypes, mmap\nm = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE, "
          "7)\nm.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n"
          "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()");
  EXPECT_EQ(ran.outcome.kind(), v1::DENIED_SYSCALL) << ran.outcome.DebugString();
  EXPECT_FALSE(ran.outcome.state_kept());
  ExpectDead();
}

TEST_F(OutcomesTest, BrokenBuiltinsDoNotEndTheSession) {
  const Ran broken =
      Run("import builtins, json, os, struct, sys\n"
          "for name in ('open', 'print', 'len', 'isinstance', 'repr', 'str', 'getattr', 'Exception'):\n"
          "    setattr(builtins, name, None)\n"
          "os.write = os.read = os.getpid = json.dumps = struct.pack = None\n"
          "sys.stdout = sys.stderr = sys.excepthook = sys.displayhook = None\n"
          "sys.modules.clear()");
  EXPECT_TRUE(broken.outcome.state_kept()) << broken.outcome.DebugString();
  EXPECT_LT(broken.outcome.usage().wall_ms(), 5000u);
  ExpectKept();
  const Ran next = Run("import json\nprint(json.loads('[1]'), len('ab'))\nopen('f', 'w').write('x'), 1 / 0");
  EXPECT_EQ(next.out, "[1] 2\n");
  EXPECT_EQ(next.outcome.exception().name(), "ZeroDivisionError") << next.outcome.DebugString();
}

TEST_F(OutcomesTest, BuiltinsReplacedOnPurposeStay) {
  EXPECT_EQ(Run("import builtins\nreal = print\nbuiltins.print = lambda *a: real('mine', *a)\nprint(1)").out,
            "mine 1\n");
  EXPECT_EQ(Run("print(2)").out, "mine 2\n");
  // But what breaks the shell itself is put back.
  EXPECT_TRUE(Run("builtins.len = builtins.isinstance = lambda *a: 1 / 0").outcome.state_kept());
  Run("1");
  EXPECT_EQ(Run("len('ab')").result(), "2");
  ExpectKept();
}

TEST_F(OutcomesTest, CpuTimeOfAllProcessesIsLimited) {
  CARREL_NEED("ROOT", ::geteuid() == 0, "no cgroup counts an ordinary user's CPU time");
  v1::Limits limits;
  limits.set_cpu_ms(700);
  const Ran ran = client_->Run(
      session_, "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'while True: pass'])", limits);
  EXPECT_EQ(ran.outcome.kind(), v1::CPU_LIMIT) << ran.outcome.DebugString();
  ExpectKept();
}

TEST_F(OutcomesTest, WhatTheCodeLeavesBehindDoesNotDelayItsEnd) {
  const Ran ran = Run("import subprocess\nsubprocess.Popen('sleep 30; echo late', shell=True).pid > 0");
  EXPECT_EQ(ran.result(), "True");
  EXPECT_LT(ran.outcome.usage().wall_ms(), 5000u);
  ExpectKept();
}

TEST_F(OutcomesTest, EverySessionDrawsItsOwnNumbers) {
  const std::string code =
      "import random, uuid, tempfile, os, numpy as np, scipy.stats as st, ssl\n"
      "[random.random(), np.random.random(), st.norm.rvs(), np.random.default_rng().random(), uuid.uuid4().hex,\n"
      " uuid.uuid1().hex, ssl.RAND_bytes(8).hex(), next(tempfile._get_candidate_names())]";
  const std::string other = client_->NewSession();
  const std::string mine = client_->Run(session_, code).result();
  const std::string theirs = client_->Run(other, code).result();
  EXPECT_NE(mine, "");
  for (size_t start = 1; start < mine.size();) {
    const size_t end = mine.find(", ", start);
    const std::string value = mine.substr(start, end - start);
    EXPECT_THAT(theirs, ::testing::Not(HasSubstr(value)));
    if (end == std::string::npos) break;
    start = end + 2;
  }
  EXPECT_TRUE(client_->Delete(other));
}

TEST_F(OutcomesTest, TheSessionSeesItsLimitsAndNothingElse) {
  EXPECT_EQ(Run("import os\nos.cpu_count(), os.getcwd(), sorted(os.listdir('/proc/self/fd'))[:4]").result(),
            "(1, '/mnt/data', ['0', '1', '2', '3'])");
  EXPECT_EQ(Run("import subprocess\nsubprocess.run('nproc', capture_output=True).stdout").result(), "b'1\\n'");
  EXPECT_EQ(Run("import threading, os\nthreading.active_count(), len(os.listdir('/proc/self/task'))").result(),
            "(1, 1)");
  ExpectKept();
}

TEST_F(OutcomesTest, CapabilitiesNameThePackagesThatAreThere) {
  grpc::ClientContext context;
  v1::Capabilities capabilities;
  ASSERT_TRUE(client_->stub().GetCapabilities(&context, {}, &capabilities).ok());
  EXPECT_THAT(capabilities.isolation(), ::testing::AnyOf("full", "userns"));
  ASSERT_EQ(capabilities.runtimes_size(), 2);
  EXPECT_EQ(capabilities.runtimes(0).name(), "bash");
  const v1::Runtime& runtime = capabilities.runtimes(1);
  EXPECT_GT(runtime.packages_size(), 15);
  std::string code = "import importlib.metadata as m\n[p for p, v in [";
  for (const auto& [package, version] : runtime.packages()) code += "('" + package + "', '" + version + "'), ";
  EXPECT_EQ(Run(code + "] if m.version(p) != v]").result(), "[]");
}

}  // namespace
}  // namespace carrel::testing
