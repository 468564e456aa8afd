// A layer that cannot be set up means no jail at all, and a sentence that says which and why.
#include <gmock/gmock.h>
#include <unistd.h>

#include "jail_fixture.h"

namespace carrel::sandbox {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::string> With(std::vector<std::string> more) {
  std::vector<std::string> all = UsualArguments();
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(RefusalTest, FullNeedsRoot) {
  if (::geteuid() == 0) GTEST_SKIP() << "for an ordinary user";
  const auto jailer = JailerUnderTest::Start(With({"--tier", "full"}));
  EXPECT_THAT(std::string(jailer.status().message()), HasSubstr("namespaces"));
}

TEST(RefusalTest, ABindThatIsNotThere) {
  const auto jailer = JailerUnderTest::Start(UsualArguments(), "bind /nowhere/at/all /x  # a typing error\n");
  EXPECT_THAT(std::string(jailer.status().message()), AllOf(HasSubstr("shell"), HasSubstr("/nowhere/at/all")));
}

TEST(RefusalTest, AManifestWithAnUnknownKey) {
  const auto jailer = JailerUnderTest::Start(UsualArguments(), "colour green\n");
  EXPECT_THAT(std::string(jailer.status().message()), AllOf(HasSubstr("manifest:"), HasSubstr("colour")));
}

TEST(RefusalTest, NoCgroupIsOnlyAcceptedByWord) {
  if (::geteuid() == 0) GTEST_SKIP() << "root can make cgroups here; see the test of the tree without one";
  if (UsualArguments().empty()) GTEST_SKIP() << "this user has cgroups";
  const auto jailer = JailerUnderTest::Start({});
  EXPECT_THAT(std::string(jailer.status().message()), AllOf(HasSubstr("cgroup"), HasSubstr("--allow-no-cgroup")));
  const auto allowed = JailerUnderTest::Start({"--allow-no-cgroup"});
  ASSERT_TRUE(allowed.ok()) << allowed.status();
  EXPECT_THAT((*allowed)->maker().report().weakened, ::testing::Contains("memory: watchdog"));
}

TEST(RefusalTest, AProgramThatCannotBeExecutedIsNoSession) {
  auto jailer = JailerUnderTest::Start(UsualArguments());
  ASSERT_TRUE(jailer.ok()) << jailer.status();
  // RLIMIT_NOFILE so low that the loader cannot open its libraries is a program's failure, not the jail's; a policy
  // whose command is missing is the jail's.
  EXPECT_EQ(RunScript((*jailer)->maker(), "echo fine"), "fine\n");
}

}  // namespace
}  // namespace carrel::sandbox
