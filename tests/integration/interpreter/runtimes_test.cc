// A runtime is data: which there are is what lies in the jailer's directories, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "sandbox/base/temp_dir.h"
#include "tests/integration/interpreter/client.h"
#include "tests/integration/interpreter/jailed_server.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Client ClientOf(const JailedServer& server) {
  return Client(grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
}

v1::Capabilities CapabilitiesOf(Client& client) {
  grpc::ClientContext context;
  v1::Capabilities capabilities;
  EXPECT_TRUE(client.stub().GetCapabilities(&context, {}, &capabilities).ok());
  return capabilities;
}

std::vector<std::string> RuntimesOf(Client& client) {
  std::vector<std::string> names;
  const v1::Capabilities capabilities = CapabilitiesOf(client);
  for (const v1::Runtime& runtime : capabilities.runtimes()) names.push_back(runtime.name());
  return names;
}

Ran RunIn(Client& client, const std::string& runtime, const std::string& code) {
  v1::ExecuteRequest request;
  request.set_runtime(runtime);
  request.set_code(code);
  return client.Execute(request);
}

using Replacements = std::vector<std::pair<std::string, std::string>>;

// A directory of runtimes of the test's own.
class OwnRuntimes final {
 public:
  OwnRuntimes() { EXPECT_EQ(::chmod(path().c_str(), 0755), 0) << "zygotes of other users read it"; }
  [[nodiscard]] const std::string& path() const { return directory_.path(); }

  // A copy of a built runtime but its packages, which stay where they are, with `replacements` made in its manifest.
  void Copy(const std::string& runtime, const std::string& name, const Replacements& replacements) const {
    const std::string from = JailedServer::BuiltRuntimes() + "/" + runtime;
    const std::string to = path() + "/" + name;
    std::filesystem::create_directory(to);
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
      const std::string file = entry.path().filename();
      if (file.starts_with("site-packages") || file == "manifest") continue;
      std::filesystem::copy(entry.path(), to + "/" + file, std::filesystem::copy_options::recursive);
    }
    std::ifstream in(from + "/manifest");
    std::string manifest(std::istreambuf_iterator<char>(in), {});
    for (const auto& [old, with] : replacements) {
      const size_t at = manifest.find(old);
      ASSERT_NE(at, std::string::npos) << old;
      manifest.replace(at, old.size(), with);
    }
    std::ofstream(to + "/manifest") << manifest;
  }
  void CopyPython() const {
    Copy("python", "python",
         {{"bind site-packages ", "bind " + JailedServer::BuiltRuntimes() + "/python/site-packages "}});
  }

 private:
  TempDir directory_ = *TempDir::Create();
};

TEST(RuntimesTest, AStandAloneServerFindsItsOwn) {
  const auto server = JailedServer::Start({}, {}, {});
  ASSERT_TRUE(server.ok()) << server.status();
  Client client = ClientOf(**server);
  EXPECT_THAT(RuntimesOf(client), ElementsAre("bash", "python"));
}

TEST(RuntimesTest, APolicyThatIsNoRuntimeIsNotOffered) {
  const OwnRuntimes policies;
  policies.Copy("bash", "helper", {{"name bash", "name helper"}, {"runtime pooled\n", ""}});
  const auto server = JailedServer::Start({}, {}, {JailedServer::BuiltRuntimes(), policies.path()});
  ASSERT_TRUE(server.ok()) << server.status();
  Client client = ClientOf(**server);
  EXPECT_THAT(RuntimesOf(client), ElementsAre("bash", "python"));
  const grpc::Status refused = RunIn(client, "helper", "true").status;
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(refused.error_message(), HasSubstr("there are: bash, python"));
}

// `proc none`: what people do with Python and a shell does not need /proc.
TEST(RuntimesTest, WithAnEmptyProcTheyWorkAndSaySo) {
  const OwnRuntimes runtimes;
  runtimes.Copy("python", "python",
                {{"bind site-packages ", "bind " + JailedServer::BuiltRuntimes() + "/python/site-packages "},
                 {"kind zygote", "kind zygote\nproc none  # a test"}});
  runtimes.Copy("bash", "bash", {{"kind ", "proc none\nkind "}});
  const auto server = JailedServer::Start({}, {}, {runtimes.path()});
  ASSERT_TRUE(server.ok()) << server.status();
  Client client = ClientOf(**server);
  const Ran python =
      RunIn(client, "python",
            "import os, subprocess, multiprocessing, threading, tempfile, asyncio, sqlite3, time\n"
            "import numpy as np, pandas as pd, matplotlib.pyplot as plt\n"
            "frame = pd.DataFrame({'a': np.arange(10.0)}); frame.to_csv('a.csv')\n"
            "frame.to_parquet('a.parquet'); frame.to_excel('a.xlsx')\n"
            "plt.plot(frame.a); plt.savefig('a.png')\n"
            "thread = threading.Thread(target=print); thread.start(); thread.join()\n"
            "async def one(): return (await (await asyncio.create_subprocess_exec(\n"
            "    'echo', 'child', stdout=-1)).communicate())[0]\n"
            "with multiprocessing.Pool(2) as pool: squares = pool.map(abs, [-1, -2])\n"
            "(os.listdir('/proc'), float(np.linalg.det(np.eye(50))), pd.read_parquet('a.parquet').a.sum(),\n"
            " subprocess.check_output('echo $((6*7))', shell=True), squares, await one(),\n"
            " os.path.getsize('a.png') > 1000, os.cpu_count())");
  EXPECT_EQ(python.result(), "([], 1.0, np.float64(45.0), b'42\\n', [1, 2], b'child\\n', True, 1)")
      << python.outcome.ShortDebugString();
  EXPECT_THAT(python.outcome.weakened(), ::testing::Contains("proc: empty in python"));
  const Ran refused = RunIn(client, "python", "open('/proc/x', 'w')");
  EXPECT_EQ(refused.outcome.kind(), v1::RAISED);
  const Ran bash =
      RunIn(client, "bash", "ls -A /proc | wc -l; for i in 1 2; do echo $i; done | tac; echo $(( 6 * 7 ))");
  EXPECT_EQ(bash.out, "0\n2\n1\n42\n") << bash.err;
}

TEST(RuntimesTest, AThirdIsADirectoryAndNothingElse) {
  const OwnRuntimes runtimes;
  runtimes.CopyPython();
  runtimes.Copy("bash", "shell",
                {{"name bash", "name shell"},
                 {"runtime pooled", "runtime on-demand"},
                 {"env LANG=", "env FLAVOUR=third\nenv LANG="},
                 {"default memory_bytes 536870912", "default memory_bytes 134217728"}});
  const auto server = JailedServer::Start({"--set", "interpreter.default_runtime=shell"}, {}, {runtimes.path()});
  ASSERT_TRUE(server.ok()) << server.status();
  Client client = ClientOf(**server);
  EXPECT_THAT(RuntimesOf(client), ElementsAre("python", "shell"));
  EXPECT_EQ(RunIn(client, "shell", "echo $FLAVOUR").out, "third\n");
  EXPECT_EQ(RunIn(client, "", "echo $FLAVOUR").out, "third\n") << "the default is the operator's choice";
  EXPECT_EQ(RunIn(client, "python", "print(6 * 7)").out, "42\n");
  EXPECT_EQ(RunIn(client, "bash", "true").status.error_code(), grpc::StatusCode::NOT_FOUND);

  const v1::Capabilities capabilities = CapabilitiesOf(client);
  EXPECT_EQ(capabilities.default_runtime(), "shell");
  EXPECT_EQ(capabilities.defaults().memory_bytes(), 128U << 20);
  EXPECT_EQ(capabilities.runtimes(1).defaults().memory_bytes(), 128U << 20);
  EXPECT_GT(capabilities.runtimes(0).defaults().memory_bytes(), 128U << 20) << "each has its own";
  EXPECT_GE(capabilities.runtimes(1).maxima().memory_bytes(), capabilities.runtimes(1).defaults().memory_bytes());
}

// The real thing: the zygote of a runtime whose files have changed is replaced beside the work.
TEST(RuntimesTest, WhatHasChangedOnDiskIsWhatTheNextSessionsRun) {
  const OwnRuntimes runtimes;
  runtimes.CopyPython();
  const auto server = JailedServer::Start({"--set", "interpreter.pool_size=1"}, {}, {runtimes.path()});
  ASSERT_TRUE(server.ok()) << server.status();
  Client client = ClientOf(**server);
  const std::string mark = "import sys\ngetattr(sys, 'runtime_mark', 'old')";
  const std::string before = client.NewSession();
  ASSERT_EQ(client.Run(before, mark).result(), "'old'");

  // Read when the zygote imports it, and never again.
  std::ofstream(runtimes.path() + "/python/driver/frames.py", std::ios::app)
      << "\nimport sys\nsys.runtime_mark = 'new'\n";
  const absl::Time deadline = absl::Now() + absl::Seconds(90);
  std::string seen;
  while (seen != "'new'" && absl::Now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const Ran ran = RunIn(client, "python", mark);
    ASSERT_TRUE(ran.status.ok()) << "sessions can be had all the while: " << ran.status.error_message();
    seen = ran.result();
  }
  EXPECT_EQ(seen, "'new'");
  EXPECT_EQ(client.Run(before, mark).result(), "'old'") << "a session lives on as it was made";
  EXPECT_TRUE(client.Delete(before));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(RunIn(client, "python", mark).result(), "'new'") << "also those of the pool";
}

}  // namespace
}  // namespace carrel::testing
