// The posture of a running sandbox, read from outside: what the kernel says of the session's processes, not what the
// session or the service says. Everything that SANDBOX's layers promise has a line here.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "process_view.h"
#include "session.h"
#include "shared_server.h"
#include "support/jailed_server.h"
#include "support/missing_layer.h"

namespace carrel::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Mount {
  std::string type;
  std::set<std::string> options;  // of the mount and of the file system
};

// By mount point.
std::map<std::string, Mount> MountsOf(const Process& process) {
  std::map<std::string, Mount> mounts;
  std::istringstream lines(process.File("mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> sides = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<std::string> left = absl::StrSplit(sides.at(0), ' ');
    const std::vector<std::string> right = absl::StrSplit(sides.at(1), ' ');
    Mount& mount = mounts[left.at(4)];
    mount.type = right.at(0);
    for (const auto& option : absl::StrSplit(absl::StrCat(left.at(5), ",", right.at(2)), ',')) {
      mount.options.emplace(option);
    }
  }
  return mounts;
}

SharedServer& Shared() {
  static auto* const shared = static_cast<SharedServer*>(::testing::AddGlobalTestEnvironment(new SharedServer));
  return *shared;
}
[[maybe_unused]] const SharedServer& kRegistered = Shared();

// A server for all cases of a tier, a session for each.
class Posture : public ::testing::TestWithParam<Tier> {
 protected:
  void SetUp() override {
    CARREL_NEED("ROOT", geteuid() == 0, "what is read here of other users' processes takes root");
    const absl::StatusOr<JailedServer*> server = Shared().For(GetParam());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *server;
    interpreter_ = std::make_unique<Interpreter>(server_->channel());
    session_ = interpreter_->Create(ParseLimits("memory_bytes=268435456 processes=48 workspace_bytes=8388608"));
    // The namespace's name is what outside and inside see alike.
    const Reply reply = interpreter_->Run(session_, "import os\nprint(os.readlink('/proc/self/ns/pid'), os.getpid())");
    std::istringstream words(reply.out);
    std::string space;
    std::string inner;
    words >> space >> inner;
    for (const pid_t pid : server_->Processes()) {
      const Process process(pid);
      if (process.ns("pid") != space) continue;
      (process.InnerPid() == inner ? jailed_ : init_) = pid;
    }
    ASSERT_NE(jailed_, 0) << space << " is nowhere to be seen";
    ASSERT_NE(init_, 0);
  }
  void TearDown() override {
    if (server_ == nullptr) return;
    interpreter_->Delete(session_);
    const size_t at_rest = ProcessesAtRest(GetParam());
    EXPECT_LE(WaitForProcesses(*server_, GetParam(), at_rest), at_rest) << "a process of a session is left";
    if (HasFailure()) Shared().Spoil();
  }
  [[nodiscard]] bool Full() const { return GetParam() == Tier::kFull; }

  JailedServer* server_ = nullptr;
  std::unique_ptr<Interpreter> interpreter_;
  std::string session_;
  pid_t jailed_ = 0;
  pid_t init_ = 0;
};

TEST_P(Posture, TheJailedProcessHasNoPower) {
  const Process jailed(jailed_);
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_EQ(jailed.status(set), "0000000000000000") << set;
  }
  EXPECT_EQ(jailed.status("NoNewPrivs"), "1");
  EXPECT_EQ(jailed.status("Seccomp"), "2") << "a filter";
  EXPECT_EQ(jailed.status("Seccomp_filters"), "1");
  EXPECT_EQ(jailed.status("Threads"), "1");
  const std::vector<std::string> uids = absl::StrSplit(jailed.status("Uid"), '\t');
  const std::vector<std::string> gids = absl::StrSplit(jailed.status("Gid"), '\t');
  EXPECT_EQ(std::set<std::string>(uids.begin(), uids.end()).size(), 1U) << "real, effective, saved, of files";
  EXPECT_EQ(std::set<std::string>(gids.begin(), gids.end()).size(), 1U);
  uint32_t uid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(uids.at(0), &uid));
  if (Full()) {
    EXPECT_GE(uid, 0x70000000U) << "of the range that sessions have";
    EXPECT_LE(uid, 0x7000ffffU);
    EXPECT_EQ(jailed.status("Groups"), "");
  } else {
    EXPECT_NE(uid, 0U);
  }
}

TEST_P(Posture, ItIsInNamespacesOfItsOwn) {
  const Process jailed(jailed_);
  const Process here(getpid());
  const std::string other_session = interpreter_->Create();
  std::set<std::string> spaces = {"mnt", "pid", "net", "ipc", "uts", "user"};
  if (Full()) spaces.insert("cgroup");
  for (const std::string& name : spaces) {
    EXPECT_NE(jailed.ns(name), "") << name;
    EXPECT_NE(jailed.ns(name), here.ns(name)) << name << " is the host's";
  }
  // Neither shared with any other process of the service, but for its own init and the user namespace.
  for (const pid_t pid : server_->Processes()) {
    if (pid == jailed_ || pid == init_) continue;
    const Process other(pid);
    for (const std::string name : {"mnt", "pid", "net", "ipc", "uts"}) {
      EXPECT_NE(jailed.ns(name), other.ns(name)) << name << " is shared with " << other.status("Name");
    }
  }
  interpreter_->Delete(other_session);
}

TEST_P(Posture, ItHoldsFourDescriptors) {
  const std::map<int, std::string> fds = Process(jailed_).Descriptors();
  ASSERT_EQ(fds.size(), 4U) << ::testing::PrintToString(fds);
  EXPECT_THAT(fds.at(0), AnyOf(HasSubstr("/dev/null"), HasSubstr("/null")));
  EXPECT_THAT(fds.at(1), StartsWith("pipe:"));
  EXPECT_THAT(fds.at(2), StartsWith("pipe:"));
  EXPECT_THAT(fds.at(3), StartsWith("socket:"));
}

TEST_P(Posture, ItSeesTheMountsOfThePolicyAndNoOther) {
  const std::map<std::string, Mount> mounts = MountsOf(Process(jailed_));
  const std::set<std::string> writable = {"/mnt/data", "/tmp", "/dev/shm"};
  for (const auto& [point, mount] : mounts) {
    const bool known = point == "/" || point == "/proc" || point.starts_with("/dev") || point == "/etc/session" ||
                       point == "/usr" || point.starts_with("/usr/") || point.starts_with("/opt/carrel/") ||
                       point == "/sys/kernel/mm/transparent_hugepage" || point.starts_with("/etc/") ||
                       writable.contains(point) || point.starts_with("/proc/");
    EXPECT_TRUE(known) << point << " of type " << mount.type;
    EXPECT_TRUE(mount.options.contains("nosuid")) << point;
    const bool device = point.starts_with("/dev/") && point != "/dev/shm";
    EXPECT_TRUE(mount.options.contains("nodev") || device) << point;
    if (writable.contains(point)) {
      EXPECT_EQ(mount.type, "tmpfs") << point;
      EXPECT_TRUE(std::any_of(mount.options.begin(), mount.options.end(),
                              [](const std::string& option) { return option.starts_with("size="); }))
          << point << " has no size";
      EXPECT_TRUE(std::any_of(mount.options.begin(), mount.options.end(),
                              [](const std::string& option) { return option.starts_with("nr_inodes="); }))
          << point << " has no number of files";
    } else if (point != "/proc" && !device) {
      EXPECT_TRUE(mount.options.contains("ro")) << point << " can be written";
    }
  }
  EXPECT_TRUE(mounts.at("/mnt/data").options.contains("size=8192k"));
  EXPECT_FALSE(mounts.contains("/sys"));
}

TEST_P(Posture, ItsEnvironmentIsThePolicys) {
  const std::string environment = Process(jailed_).File("environ");
  std::set<std::string> allowed;
  std::istringstream manifest(ReadAll(std::string(CARREL_SHARE) + "/runtimes/python/manifest"));
  for (std::string line; std::getline(manifest, line);) {
    if (line.starts_with("env ")) allowed.insert(line.substr(4, line.find('=') - 4));
  }
  allowed.insert("CARREL_ZYGOTE_FD");
  for (const absl::string_view variable : absl::StrSplit(environment, '\0', absl::SkipEmpty())) {
    const std::string name(variable.substr(0, variable.find('=')));
    EXPECT_TRUE(allowed.contains(name)) << variable;
  }
}

TEST_P(Posture, ItIsInItsControlGroup) {
  const Process jailed(jailed_);
  EXPECT_EQ(absl::StripAsciiWhitespace(jailed.File("oom_score_adj")), "1000");
  if (!Full()) return;  // an ordinary user has none here
  std::istringstream groups(jailed.File("cgroup"));
  int found = 0;
  for (std::string line; std::getline(groups, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    const bool ruled = parts.at(1).empty() || parts[1].find("memory") != std::string::npos ||
                       parts[1].find("pids") != std::string::npos || parts[1].find("cpu") != std::string::npos;
    if (!ruled || parts[1].find("cpuset") != std::string::npos) continue;
    if (parts[1].empty() && parts[2].find("carrel-") == std::string::npos) continue;  // v2 beside v1 rules nothing
    EXPECT_THAT(parts[2], HasSubstr("/carrel-")) << line;
    ++found;
    if (parts[1] == "memory") {
      EXPECT_EQ(absl::StripAsciiWhitespace(ReadAll("/sys/fs/cgroup/memory" + parts[2] + "/memory.limit_in_bytes")),
                "268435456");
    }
    if (parts[1] == "pids") {
      const std::string limit = ReadAll("/sys/fs/cgroup/pids" + parts[2] + "/pids.max");
      EXPECT_THAT(limit, Not(HasSubstr("max")));
    }
  }
  EXPECT_GT(found, 0);
}

TEST_P(Posture, ItsLimitsCannotBeRaised) {
  std::map<std::string, std::string> hard = Process(jailed_).HardLimits();
  EXPECT_EQ(hard["Max core file size"], "1") << "with which no core handler of the host is started either";
  EXPECT_EQ(hard["Max open files"], "1024");
  EXPECT_NE(hard["Max file size"], "unlimited");
  EXPECT_NE(hard["Max pending signals"], "unlimited");
}

TEST_P(Posture, ItsInitHasFiveCapabilitiesAndNothingElse) {
  const Process init(init_);
  // kill, chown, dac_override, dac_read_search, fowner.
  EXPECT_EQ(init.status("CapEff"), "000000000000002f");
  EXPECT_EQ(init.status("CapBnd"), init.status("CapEff"));
  EXPECT_EQ(init.status("CapInh"), "0000000000000000");
  EXPECT_EQ(init.status("CapAmb"), "0000000000000000");
  EXPECT_EQ(init.status("NoNewPrivs"), "1");
  EXPECT_EQ(init.InnerPid(), "1");
  EXPECT_NE(init.ns("mnt"), Process(getpid()).ns("mnt"));
}

TEST_P(Posture, TheServerIsNobody) {
  const pid_t server = [this] {
    for (const pid_t pid : server_->Processes()) {
      if (Process(pid).status("Name") == "carrel-interpre") return pid;
    }
    return pid_t{0};
  }();
  ASSERT_NE(server, 0);
  const Process process(server);
  for (const char* set : {"CapPrm", "CapEff", "CapAmb"}) EXPECT_EQ(process.status(set), "0000000000000000") << set;
  EXPECT_EQ(process.status("NoNewPrivs"), "1");
  EXPECT_THAT(process.status("Uid"), Not(StartsWith("0\t")));
}

TEST_P(Posture, CapabilitiesTellWhatIsInForce) {
  const auto stub = interpreter::v1::CodeInterpreter::NewStub(server_->channel());
  grpc::ClientContext context;
  interpreter::v1::Capabilities capabilities;
  ASSERT_TRUE(stub->GetCapabilities(&context, {}, &capabilities).ok());
  EXPECT_EQ(capabilities.isolation(), Full() ? "full" : "userns");
  std::map<std::string, bool> layers;
  for (const auto& layer : capabilities.layers()) {
    layers[layer.name()] = layer.active();
    EXPECT_TRUE(layer.active() || !layer.mend().empty())
        << layer.name() << " is missing, and nobody says what mends it";
  }
  EXPECT_TRUE(layers.at("namespaces"));
  EXPECT_TRUE(layers.at("seccomp"));
  EXPECT_EQ(layers.at("cgroup"), Full());
}

std::string NameOfCase(const ::testing::TestParamInfo<Tier>& info) { return NameOf(info.param); }
// One after the other, so that each tier has one server.
INSTANTIATE_TEST_SUITE_P(Full, Posture, ::testing::Values(Tier::kFull), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Userns, Posture, ::testing::Values(Tier::kUserns), NameOfCase);

// A kernel without Landlock is no reason not to run in a tier that has namespaces; that it is less is said.
TEST(WeakerPosture, WithoutLandlockTheCapabilitiesAndEveryOutcomeSaySo) {
  for (const Tier tier : {Tier::kFull, Tier::kUserns}) {
    const auto server = JailedServer::Start(
        {.tier = tier,
         .refused_calls = "default errno ENOSYS # not meant\nerrno ENOSYS landlock_create_ruleset # old\n"});
    CARREL_NEED("ROOT", server.status().code() != absl::StatusCode::kFailedPrecondition, server.status());
    ASSERT_TRUE(server.ok()) << server.status();
    const auto stub = interpreter::v1::CodeInterpreter::NewStub((*server)->channel());
    grpc::ClientContext context;
    interpreter::v1::Capabilities capabilities;
    ASSERT_TRUE(stub->GetCapabilities(&context, {}, &capabilities).ok());
    for (const auto& layer : capabilities.layers()) {
      if (layer.name() != "landlock") continue;
      EXPECT_FALSE(layer.active());
      EXPECT_THAT(layer.mend(), HasSubstr("Linux 5.13"));
    }
    const Interpreter interpreter((*server)->channel());
    const Reply reply = interpreter.Run(interpreter.Create(), "print(1)");
    EXPECT_THAT(reply.outcome.weakened(), ::testing::Contains(HasSubstr("landlock")));
    EXPECT_EQ((*server)->Stop(), "");
  }
}

}  // namespace
}  // namespace carrel::testing
