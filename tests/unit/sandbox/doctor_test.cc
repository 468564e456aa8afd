#include "sandbox/doctor.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "in_child.h"

namespace carrel::sandbox {
namespace {

using ::testing::HasSubstr;

// Not built with ThreadSanitizer: its run time keeps a thread in every child, and a process of two threads may not make
// a user namespace (EINVAL), so there is no tier to find.
#if !defined(__SANITIZE_THREAD__)
std::vector<std::string> NamesOf(const std::vector<LayerState>& layers) {
  std::vector<std::string> names;
  for (const LayerState& layer : layers) names.push_back(layer.name);
  return names;
}

TEST(Doctor, ExaminesEveryLayerInOrder) {
  const DoctorReport report = ExamineMachine();
  EXPECT_THAT(NamesOf(report.layers),
              ::testing::ElementsAre("namespaces", "mounts", "cgroup", "rlimits", "identity", "landlock", "seccomp"));
  for (const LayerState& layer : report.layers) {
    EXPECT_FALSE(layer.detail.empty()) << layer.name;
    EXPECT_TRUE(layer.active || !layer.mend.empty()) << layer.name << ": " << layer.detail;
  }
}
#endif

TEST(Doctor, ConfinedIsNeverCompleteAndSaysWhatIsMissing) {
  const DoctorReport report = ExamineConfined();
  EXPECT_FALSE(IsComplete(report));
  ASSERT_EQ(report.layers.size(), 7U);
  EXPECT_EQ(report.layers[0].name, "namespaces");
  EXPECT_FALSE(report.layers[0].active);
  for (const LayerState& layer : report.layers) {
    EXPECT_FALSE(layer.detail.empty()) << layer.name;
    EXPECT_TRUE(layer.active || layer.name == "namespaces" || !layer.mend.empty())
        << layer.name << ": " << layer.detail;
  }
}

TEST(Doctor, ConfinedSaysWhatIsNotHeld) {
  const DoctorReport report = Examine({.tier = "confined"});
  EXPECT_THAT(report.allowed, ::testing::ElementsAre("namespaces"));
  EXPECT_THAT(report.layers[0].detail, HasSubstr("not held: namespaces: none"));
  EXPECT_THAT(report.layers[0].detail, HasSubstr("sessions: one at a time"));
}

TEST(Doctor, WhatMayBeMissingIsNoRefusal) {
  DoctorReport report{.tier = "userns", .layers = {{.name = "cgroup", .detail = "none", .mend = "delegate"}}};
  EXPECT_FALSE(IsAsAllowed(report));
  EXPECT_THAT(DoctorText(report), HasSubstr("nothing runs unless that is allowed"));
  EXPECT_THAT(DoctorText(report), HasSubstr("NO  cgroup"));
  report.allowed = {"cgroup"};
  EXPECT_TRUE(IsAsAllowed(report));
  EXPECT_FALSE(IsComplete(report));
  EXPECT_THAT(DoctorText(report), HasSubstr("--  cgroup"));
  EXPECT_THAT(DoctorJson(report), HasSubstr("\"complete\":false,\"as_allowed\":true"));
  report.tier.clear();
  EXPECT_FALSE(IsAsAllowed(report)) << "no tier at all is nobody's to allow";
}

TEST(Doctor, LeavesNothingBehind) {
  const auto count = [] {
    const std::filesystem::directory_iterator descriptors("/proc/self/fd");
    return std::distance(begin(descriptors), end(descriptors));
  };
  const auto before = count();
  static_cast<void>(ExamineMachine());
  EXPECT_EQ(count(), before);
  EXPECT_EQ(access("/tmp/proc/self", F_OK), -1);
}

// An ordinary user gets the tier of user namespaces, and a reason with a mend where cgroups cannot be had.
#if !defined(__SANITIZE_THREAD__)  // see above
TEST(Doctor, SaysWhatAnOrdinaryUserLacks) {
  if (geteuid() != 0) GTEST_SKIP() << "is that user already";
  EXPECT_EQ(InChild([] {
              if (syscall(SYS_setresgid, 54321, 54321, 54321) != 0) return 100;
              if (syscall(SYS_setresuid, 54321, 54321, 54321) != 0) return 101;
              // After a change of uid without exec /proc/self belongs to root otherwise.
              if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return 106;
              const DoctorReport report = ExamineMachine();
              if (report.tier != "userns") return 102;
              if (report.layers[2].active) return 103;
              if (IsComplete(report)) return 104;
              return DoctorText(report).find("--allow-no-cgroup") == std::string::npos ? 105 : 0;
            }),
            0);
}
#endif

DoctorReport Sample() {
  return {.tier = "userns",
          .layers = {{.name = "cgroup", .detail = "a \"v1\" one\n", .mend = "run as root"},
                     {.name = "seccomp", .active = true, .detail = "fine"}},
          .advice = {{.name = "huge pages", .detail = "off"}}};
}

TEST(Doctor, PrintsForPeople) {
  const std::string text = DoctorText(Sample());
  EXPECT_THAT(text, HasSubstr("not every layer can be had"));
  EXPECT_THAT(text, HasSubstr("NO  cgroup      a \"v1\" one\n                mend: run as root\n"));
  EXPECT_THAT(text, HasSubstr("ok  seccomp     fine\n"));
  std::istringstream lines(DoctorText(ExamineMachine()));
  std::string line;
  while (std::getline(lines, line)) EXPECT_LE(line.size(), 120U) << line;
}

TEST(Doctor, PrintsForPrograms) {
  EXPECT_EQ(
      DoctorJson(Sample()),
      "{\"tier\":\"userns\",\"complete\":false,\"as_allowed\":false,\"layers\":[{\"name\":\"cgroup\",\"active\":false,"
      "\"detail\":\"a "
      "\\\"v1\\\" one\\u000a\",\"mend\":\"run as root\"},{\"name\":\"seccomp\",\"active\":true,\"detail\":\"fine\","
      "\"mend\":\"\"}],\"advice\":[{\"name\":\"huge pages\",\"active\":false,\"detail\":\"off\",\"mend\":\"\"}]}\n");
}

}  // namespace
}  // namespace carrel::sandbox
