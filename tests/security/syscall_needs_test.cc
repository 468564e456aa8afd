// Every rule of a session's system call policy is needed by something: a tracer looks on while the twins run, and a
// rule that none of them meets must go, or get a twin that shows what it is for. Bash has Python's policy; the rules
// that a weaker tier puts in the place of some are held against the same calls.
#include "support/syscall_needs.h"

#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "confined_policy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/seccomp.h"
#include "session.h"
#include "support/jailed_server.h"
#include "support/missing_layer.h"
#include "support/syscall_watch.h"
#include "uncounted_memory.h"
#include "victim.h"

namespace carrel::testing {
namespace {

using sandbox::SyscallPolicy;

// The zygote: it has no filter, and is the only Python below the jailer while no session runs.
pid_t ZygoteOf(const JailedServer& server) {
  for (const pid_t pid : server.Processes()) {
    std::ifstream name(absl::StrCat("/proc/", pid, "/comm"));
    std::string text;
    std::getline(name, text);
    if (text.starts_with("python")) return pid;
  }
  return 0;
}

TEST(SyscallNeedsTest, EveryRuleThatAllowsIsNeededByATwin) {
  CARREL_NEED("ROOT", geteuid() == 0, "tracing what other users run takes root");
  const std::string path = std::string(CARREL_SHARE) + "/runtimes/python/python.syscalls";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const absl::StatusOr<SyscallPolicy> policy = sandbox::ParseSyscallPolicy(text.str(), path);
  ASSERT_TRUE(policy.ok()) << policy.status();
  const absl::StatusOr<std::unique_ptr<JailedServer>> server = JailedServer::Start(
      // Every session is forked while the zygote is watched, and nothing else below the jailer is Python.
      {.tier = Tier::kFull, .server_arguments = {"--set", "interpreter.pool_size=0"}});
  ASSERT_TRUE(server.ok()) << server.status();
  const Interpreter interpreter((*server)->channel());
  ExpectCleanSession(interpreter, Tier::kFull);  // the zygote is up

  SyscallNeeds needs(*policy);
  const absl::StatusOr<SyscallPolicy> watched = sandbox::RefuseUncountedMemory(*policy);
  ASSERT_TRUE(watched.ok()) << watched.status();
  const absl::StatusOr<SyscallPolicy> confined = sandbox::RefuseSharedKernel(*watched);
  ASSERT_TRUE(confined.ok()) << confined.status();
  SyscallNeeds confined_needs(*confined);
  {
    const pid_t zygote = ZygoteOf(**server);
    ASSERT_NE(zygote, 0);
    SyscallWatch watch(zygote, [&](int number, const auto& arguments) {
      needs.Call(number, arguments);
      confined_needs.Call(number, arguments);
    });
    const absl::Status attached = watch.WaitUntilAttached();
    ASSERT_TRUE(attached.ok()) << attached;
    for (const Victim& twin : LoadVictims(std::string(CARREL_SECURITY) + "/twins")) {
      interpreter::v1::Limits limits = ParseLimits(twin.One("limits", Tier::kFull).value_or(""));
      const std::string session = interpreter.Create(limits);
      const Reply reply = interpreter.Run(session, twin.code);
      EXPECT_TRUE(reply.finished) << twin.name << ": " << reply.status.error_message();
      EXPECT_NE(reply.out.find(twin.One("prints", Tier::kFull).value_or("")), std::string::npos)
          << twin.name << ": " << reply.outcome.ShortDebugString() << reply.err;
      interpreter.Delete(session);
    }
  }
  EXPECT_THAT(needs.Unneeded(), ::testing::IsEmpty()) << "of " << path;
  EXPECT_THAT(confined_needs.Unneeded(*policy), ::testing::IsEmpty()) << "of the weaker tiers";
  EXPECT_EQ((*server)->Stop(), "");
}

}  // namespace
}  // namespace carrel::testing
