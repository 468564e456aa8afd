#include "sandbox/policy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/base/temp_dir.h"

namespace carrel::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kSyscalls[] = "default errno ENOSYS # unknown\nallow read # files\n";

std::string Limits() {
  std::string text;
  for (const char* name :
       {"memory_bytes", "processes", "cpu_millis", "workspace_bytes", "workspace_files", "tmp_bytes", "open_files"}) {
    text += std::string("default ") + name + " 100\ncap " + name + " 1000\n";
  }
  return text;
}

constexpr char kManifest[] =
    "# a test\nname sample\ndescription A sample # not a secret\nversion 3.1\nkind zygote\n"
    "bind /usr /usr # programs\nbind-optional driver /opt/driver # ours\nbind @bin/tool /opt/tool # a tool\n"
    "command /usr/bin/python3 -I /opt/driver/zygote.py\nenv HOME=/tmp\nenv EMPTY=\nsyscalls calls\n"
    "landlock read /usr # data\nlandlock execute /usr # programs\nlandlock write /mnt/data # the workspace\n"
    "package numpy 1.26.4\n";

class PolicyFile : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(directory_.ok());
    ASSERT_EQ(mkdir(Folder().c_str(), 0755), 0);
    Write("calls", kSyscalls);
    options_ = {.places = {{"bin", "/srv/bin"}}, .owner = geteuid()};
  }

  [[nodiscard]] std::string Folder() const { return directory_->path() + "/sample"; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Folder() + "/" + name) << text;
    ASSERT_EQ(chmod((Folder() + "/" + name).c_str(), 0644), 0);
  }
  [[nodiscard]] absl::StatusOr<Policy> Load(const std::string& manifest) const {
    Write("manifest", manifest);
    return LoadPolicy(Folder(), options_);
  }
  [[nodiscard]] std::string ErrorOf(const std::string& manifest) const {
    const absl::StatusOr<Policy> policy = Load(manifest);
    return policy.ok() ? "no error" : std::string(policy.status().message());
  }

  absl::StatusOr<TempDir> directory_ = TempDir::Create();
  PolicyOptions options_;
};

TEST_F(PolicyFile, IsReadWhole) {
  const absl::StatusOr<Policy> policy = Load(kManifest + Limits());
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->name, "sample");
  EXPECT_EQ(policy->description, "A sample");
  EXPECT_EQ(policy->kind, Policy::Kind::kZygote);
  ASSERT_EQ(policy->binds.size(), 3U);
  EXPECT_EQ(policy->binds[1].source, Folder() + "/driver");
  EXPECT_TRUE(policy->binds[1].optional);
  EXPECT_EQ(policy->binds[2].source, "/srv/bin/tool");
  EXPECT_THAT(policy->command, ElementsAre("/usr/bin/python3", "-I", "/opt/driver/zygote.py"));
  EXPECT_THAT(policy->env, ElementsAre("HOME=/tmp", "EMPTY="));
  EXPECT_EQ(policy->syscalls.rules.size(), 1U);
  ASSERT_EQ(policy->landlock.size(), 2U);
  EXPECT_TRUE(policy->landlock[0].execute);
  EXPECT_FALSE(policy->landlock[0].write);
  EXPECT_TRUE(policy->landlock[1].write);
  EXPECT_EQ(policy->packages[0].version, "1.26.4");
  EXPECT_EQ(policy->defaults.memory_bytes, 100U);
  EXPECT_EQ(policy->caps.open_files, 1000U);
  EXPECT_EQ(policy->caps.cpu_seconds, 0U);
}

TEST_F(PolicyFile, SaysWhatIsWrongAndWhere) {
  const std::string good = kManifest + Limits();
  EXPECT_THAT(ErrorOf("colour blue\n" + good), HasSubstr("manifest:1: unknown key \"colour\""));
  EXPECT_THAT(ErrorOf("name sample\n" + good), HasSubstr("manifest:3: a second name"));
  EXPECT_THAT(ErrorOf("name\n" + good), HasSubstr("has no value"));
  EXPECT_THAT(ErrorOf("name other\n"), HasSubstr("not that of the directory"));
  EXPECT_THAT(ErrorOf("bind /a /a\n" + good), HasSubstr("manifest:1: a bind ends with #"));
  EXPECT_THAT(ErrorOf("bind /a # x\n" + good), HasSubstr("SOURCE TARGET"));
  EXPECT_THAT(ErrorOf("bind /a /b/../c # x\n" + good), HasSubstr("plain absolute path"));
  EXPECT_THAT(ErrorOf("bind ../a /c # x\n" + good), HasSubstr("no . or .."));
  EXPECT_THAT(ErrorOf("bind @home/a /c # x\n" + good), HasSubstr("no place is called @home"));
  EXPECT_THAT(ErrorOf("bind /a /proc # x\n" + good), HasSubstr("the jail's own"));
  EXPECT_THAT(ErrorOf("bind /a /dev/sda # x\n" + good), HasSubstr("the jail's own"));
  EXPECT_THAT(ErrorOf("bind /a /usr # x\n" + good), HasSubstr("second bind"));
  EXPECT_THAT(ErrorOf("kind bare\n"), HasSubstr("zygote or exec"));
  EXPECT_THAT(ErrorOf("landlock own /usr # x\n"), HasSubstr("read, execute or write"));
  EXPECT_THAT(ErrorOf("env =x\n"), HasSubstr("NAME=VALUE"));
  EXPECT_THAT(ErrorOf("default colours 3\n"), HasSubstr("no limit is called colours"));
  EXPECT_THAT(ErrorOf("default processes many\n"), HasSubstr("not a number"));
  EXPECT_THAT(ErrorOf("default processes 0\n"), HasSubstr("cannot be 0"));
  EXPECT_THAT(ErrorOf(kManifest), HasSubstr("no default or no cap"));
  EXPECT_THAT(ErrorOf(good + "default cpu_seconds 5\ncap cpu_seconds 4\n"), HasSubstr("over its cap"));
  EXPECT_THAT(ErrorOf("name sample\n"), HasSubstr("no description"));
  EXPECT_THAT(ErrorOf("syscalls ../calls\n"), HasSubstr("beside the manifest"));
}

TEST_F(PolicyFile, PassesOnWhereASyscallRuleIsWrong) {
  Write("calls", "default errno ENOSYS # x\nallow read\n");
  EXPECT_THAT(ErrorOf(kManifest + Limits()), HasSubstr("sample/calls:2: no reason"));
}

TEST_F(PolicyFile, IsRefusedWhenOthersCanWriteIt) {
  ASSERT_TRUE(Load(kManifest + Limits()).ok());
  for (const char* name : {"manifest", "calls", ""}) {
    const std::string path = Folder() + "/" + name;
    ASSERT_EQ(chmod(path.c_str(), 0775), 0);
    const absl::StatusOr<Policy> policy = LoadPolicy(Folder(), options_);
    EXPECT_EQ(policy.status().code(), absl::StatusCode::kPermissionDenied) << name;
    ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  }
  if (geteuid() != 0) return;
  ASSERT_EQ(chown((Folder() + "/calls").c_str(), 54321, 0), 0);
  EXPECT_EQ(LoadPolicy(Folder(), options_).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(PolicyFile, OfADirectoryAreAllLoadedOrNone) {
  ASSERT_TRUE(Load(kManifest + Limits()).ok());
  absl::StatusOr<std::vector<Policy>> policies = LoadPolicies(directory_->path(), options_);
  ASSERT_TRUE(policies.ok()) << policies.status();
  EXPECT_EQ(policies->size(), 1U);
  const std::string second = directory_->path() + "/broken";
  ASSERT_EQ(mkdir(second.c_str(), 0755), 0);
  std::ofstream(second + "/manifest") << "name broken\n";
  policies = LoadPolicies(directory_->path(), options_);
  EXPECT_THAT(std::string(policies.status().message()), HasSubstr("broken/manifest"));
}

TEST_F(PolicyFile, CapsWhatARequestMayAsk) {
  const absl::StatusOr<Policy> policy = Load(kManifest + Limits());
  ASSERT_TRUE(policy.ok());
  const absl::StatusOr<JailLimits> limits = EffectiveLimits(*policy, {.memory_bytes = 1000, .processes = 7});
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(limits->memory_bytes, 1000U);
  EXPECT_EQ(limits->processes, 7U);
  EXPECT_EQ(limits->tmp_bytes, 100U);
  const absl::Status over = EffectiveLimits(*policy, {.memory_bytes = 1001}).status();
  EXPECT_EQ(over.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(over.message()), HasSubstr("memory_bytes: 1001 is over the cap of sample, 1000"));
}

TEST(ShippedPolicies, AreWellFormed) {
  const PolicyOptions options{.places = {{"bin", "/srv/bin"}}, .owner = geteuid()};
  // Where the build puts them: a checkout may be writable by its group (umask 002), these are not.
  const absl::StatusOr<std::vector<Policy>> policies = LoadPolicies(CARREL_SHARE "/policies", options);
  ASSERT_TRUE(policies.ok()) << policies.status();
  ASSERT_EQ(policies->size(), 1U);
  EXPECT_EQ(policies->front().name, "extract");
  const absl::StatusOr<Policy> python = LoadPolicy(CARREL_SHARE "/runtimes/python", options);
  ASSERT_TRUE(python.ok()) << python.status();
  EXPECT_EQ(python->kind, Policy::Kind::kZygote);
}

TEST_F(PolicyFile, OnlyWhatSaysSoIsARuntime) {
  EXPECT_EQ(Load(kManifest + Limits())->runtime, RuntimeUse::kNone);
  EXPECT_EQ(Load(kManifest + Limits() + "runtime on-demand\n")->runtime, RuntimeUse::kOnDemand);
  EXPECT_EQ(Load(kManifest + Limits() + "runtime pooled  # often asked for\n")->runtime, RuntimeUse::kPooled);
  EXPECT_THAT(ErrorOf(kManifest + Limits() + "runtime yes\n"), HasSubstr("pooled or on-demand"));
}

TEST_F(PolicyFile, HasAnEmptyProcOnlyByItsOwnWord) {
  EXPECT_FALSE(Load(kManifest + Limits())->empty_proc);
  EXPECT_FALSE(Load(kManifest + Limits() + "proc private\n")->empty_proc);
  EXPECT_TRUE(Load(kManifest + Limits() + "proc none  # the pod masks /proc\n")->empty_proc);
  EXPECT_THAT(ErrorOf(kManifest + Limits() + "proc host\n"), HasSubstr("proc is private or none"));
  EXPECT_THAT(ErrorOf(kManifest + Limits() + "proc none\nproc none\n"), HasSubstr("a second proc"));
}

}  // namespace
}  // namespace carrel::sandbox
