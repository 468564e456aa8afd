// The posture of a session of the tier confined, read from outside. It has no namespaces; everything else that is said
// to hold it is looked at here, but for Landlock, which the kernel shows nobody: attack_test and isolation_test try it.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "process_view.h"
#include "session.h"
#include "support/jailed_server.h"
#include "support/missing_layer.h"

namespace carrel::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A pod with a server and a session, which the cases share: starting it takes seconds.
struct Pod {
  absl::StatusOr<std::unique_ptr<JailedServer>> server = absl::UnknownError("not started");
  Reply reply;
  pid_t jailed = 0;
  pid_t service = 0;

  Pod() : server(JailedServer::Start({.tier = Tier::kConfined})) {
    if (!server.ok()) return;
    const Interpreter interpreter((*server)->channel());
    const std::string session = interpreter.Create(ParseLimits("memory_bytes=268435456 processes=48"));
    // Its number is the host's.
    reply = interpreter.Run(session, "import os\nprint(os.getpid())");
    (void)absl::SimpleAtoi(absl::StripAsciiWhitespace(reply.out), &jailed);
    for (const pid_t pid : (*server)->Processes()) {
      if (Process(pid).status("Name") == "carrel-interpre") service = pid;
    }
  }
};

class ConfinedPosture : public ::testing::Test {
 protected:
  static void TearDownTestSuite() {
    if (pod_ != nullptr && pod_->server.ok()) {
      EXPECT_EQ((*pod_->server)->Stop(), "") << "left behind";
    }
    delete pod_;
    pod_ = nullptr;
  }
  void SetUp() override {
    CARREL_NEED("ROOT", geteuid() == 0, "making a pod takes root");
    if (pod_ == nullptr) pod_ = new Pod;
    ASSERT_TRUE(pod_->server.ok()) << pod_->server.status();
    jailed_ = pod_->jailed;
    service_ = pod_->service;
    ASSERT_NE(service_, 0);
    const std::vector<pid_t> all = Processes();
    ASSERT_NE(std::find(all.begin(), all.end(), jailed_), all.end()) << pod_->reply.out << pod_->reply.err;
  }
  [[nodiscard]] static std::vector<pid_t> Processes() { return (*pod_->server)->Processes(); }

  static Pod* pod_;
  pid_t jailed_ = 0;
  pid_t service_ = 0;
};
Pod* ConfinedPosture::pod_ = nullptr;

TEST_F(ConfinedPosture, TheJailedProcessHasNoPower) {
  const Process jailed(jailed_);
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_EQ(jailed.status(set), "0000000000000000") << set;
  }
  EXPECT_EQ(jailed.status("NoNewPrivs"), "1");
  EXPECT_EQ(jailed.status("Seccomp"), "2") << "a filter";
  EXPECT_EQ(jailed.status("Threads"), "1");
  const std::vector<std::string> uids = absl::StrSplit(jailed.status("Uid"), '\t');
  EXPECT_EQ(std::set<std::string>(uids.begin(), uids.end()),
            std::set<std::string>{Process(service_).status("Uid").substr(0, 6)})
      << "real, effective, saved";
  EXPECT_EQ(jailed.status("Groups"), "");
}

// By which everything jailed is found: it has one filter more than the jailer's family.
TEST_F(ConfinedPosture, ItHasOneFilterMoreThanWhoeverGuardsIt) {
  EXPECT_EQ(Process(service_).status("Seccomp_filters"), "1") << "the pod's";
  EXPECT_EQ(Process(jailed_).status("Seccomp_filters"), "2");
  for (const pid_t pid : Processes()) {
    if (pid == jailed_) continue;
    EXPECT_EQ(Process(pid).status("Seccomp_filters"), "1") << Process(pid).status("Name");
  }
}

TEST_F(ConfinedPosture, ItHoldsFourDescriptors) {
  const std::map<int, std::string> fds = Process(jailed_).Descriptors();
  ASSERT_EQ(fds.size(), 4U) << ::testing::PrintToString(fds);
  EXPECT_THAT(fds.at(0), HasSubstr("/null"));
  EXPECT_THAT(fds.at(1), StartsWith("pipe:"));
  EXPECT_THAT(fds.at(2), StartsWith("pipe:"));
  EXPECT_THAT(fds.at(3), StartsWith("socket:"));
}

TEST_F(ConfinedPosture, ItsEnvironmentIsThePolicys) {
  std::set<std::string> allowed = {"CARREL_ZYGOTE_FD"};
  std::istringstream manifest(ReadAll(std::string(CARREL_SHARE) + "/runtimes/python/manifest"));
  for (std::string line; std::getline(manifest, line);) {
    if (line.starts_with("env ")) allowed.insert(line.substr(4, line.find('=') - 4));
  }
  const std::string environment = Process(jailed_).File("environ");
  EXPECT_FALSE(environment.empty());
  for (const absl::string_view variable : absl::StrSplit(environment, '\0', absl::SkipEmpty())) {
    EXPECT_TRUE(allowed.contains(std::string(variable.substr(0, variable.find('='))))) << variable;
    // What the other tiers show there is somewhere else here.
    EXPECT_EQ(variable.find("/opt/carrel"), absl::string_view::npos) << variable;
  }
}

TEST_F(ConfinedPosture, ItsLimitsCannotBeRaised) {
  std::map<std::string, std::string> hard = Process(jailed_).HardLimits();
  EXPECT_EQ(hard["Max core file size"], "1");
  EXPECT_EQ(hard["Max open files"], "1024");
  uint64_t bytes = 0;
  ASSERT_TRUE(absl::SimpleAtoi(hard["Max data size"], &bytes)) << hard["Max data size"];
  EXPECT_LE(bytes, (uint64_t{256} << 20) + (uint64_t{4} << 30)) << "its memory and the reserve";
  uint64_t processes = 0;
  ASSERT_TRUE(absl::SimpleAtoi(hard["Max processes"], &processes)) << hard["Max processes"];
  EXPECT_GE(processes, 48U);
  EXPECT_LE(processes, 48U + 5000U) << "its own, and what its user has beside it (other tests have that one too)";
  EXPECT_NE(hard["Max file size"], "unlimited");
  EXPECT_NE(hard["Max pending signals"], "unlimited");
  EXPECT_EQ(hard["Max realtime priority"], "0");
  EXPECT_EQ(absl::StripAsciiWhitespace(Process(jailed_).File("oom_score_adj")), "1000");
}

TEST_F(ConfinedPosture, ItLeadsASessionOfItsOwn) {
  // pid (name) state ppid pgrp session tty
  const std::string stat = Process(jailed_).File("stat");
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  EXPECT_EQ(fields.at(2), std::to_string(jailed_)) << "its group";
  EXPECT_EQ(fields.at(3), std::to_string(jailed_)) << "its session";
  EXPECT_EQ(fields.at(4), "0") << "a terminal";
}

// What it is said to lack, it lacks: nobody is to believe otherwise.
TEST_F(ConfinedPosture, ItHasNoNamespacesAndCapabilitiesSaySo) {
  for (const char* name : {"mnt", "pid", "net", "ipc", "uts", "user"}) {
    EXPECT_EQ(Process(jailed_).ns(name), Process(service_).ns(name)) << name;
  }
  const auto stub = interpreter::v1::CodeInterpreter::NewStub((*pod_->server)->channel());
  grpc::ClientContext context;
  interpreter::v1::Capabilities capabilities;
  ASSERT_TRUE(stub->GetCapabilities(&context, {}, &capabilities).ok());
  EXPECT_EQ(capabilities.isolation(), "confined");
  std::map<std::string, bool> active;
  for (const auto& layer : capabilities.layers()) {
    active[layer.name()] = layer.active();
    EXPECT_TRUE(layer.active() || !layer.mend().empty()) << layer.name();
    EXPECT_TRUE(layer.name() != "namespaces" || layer.detail().find("not held") != std::string::npos);
  }
  const std::map<std::string, bool> expected = {{"namespaces", false}, {"mounts", true},   {"cgroup", false},
                                                {"rlimits", true},     {"identity", true}, {"landlock", true},
                                                {"seccomp", true}};
  EXPECT_EQ(active, expected);
  EXPECT_EQ(pod_->reply.outcome.isolation(), "confined");
  EXPECT_THAT(pod_->reply.outcome.weakened(), Contains(HasSubstr("namespaces: none")));
  EXPECT_THAT(pod_->reply.outcome.weakened(), Contains("memory: watchdog"));
}

TEST_F(ConfinedPosture, TheServerIsNobody) {
  const Process process(service_);
  for (const char* set : {"CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_EQ(process.status(set), "0000000000000000") << set;
  }
  EXPECT_EQ(process.status("NoNewPrivs"), "1");
  EXPECT_THAT(process.status("Uid"), StartsWith("2")) << "of the pod's user, a number of six digits";
}

}  // namespace
}  // namespace carrel::testing
