#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "sandbox/enter.h"
#include "sandbox/seccomp.h"

namespace carrel::sandbox {
namespace {

Policy SmallPolicy() {
  Policy policy;
  policy.name = "small";
  auto calls = ParseSyscallPolicy("default errno ENOSYS # new\nallow read # in\nallow write # out\n", "small");
  EXPECT_TRUE(calls.ok()) << calls.status();
  policy.syscalls = *calls;
  policy.landlock = {{.path = "/usr", .execute = true}, {.path = "/mnt/data", .write = true}};
  return policy;
}

TEST(EnterPlan, TravelsThroughAMemoryFileUnchanged) {
  auto plan = EnterPlan::FromPolicy(SmallPolicy());
  ASSERT_TRUE(plan.ok()) << plan.status();
  auto memfd = plan->ToMemfd();
  ASSERT_TRUE(memfd.ok()) << memfd.status();
  auto copy = EnterPlan::FromMemfd(memfd->get());
  ASSERT_TRUE(copy.ok()) << copy.status();
  const EnterPlan moved = *std::move(copy);  // the spans follow
  ASSERT_EQ(moved.filter().size(), plan->filter().size());
  EXPECT_EQ(std::memcmp(moved.filter().data(), plan->filter().data(), moved.filter().size_bytes()), 0);
  ASSERT_EQ(moved.landlock().size(), plan->landlock().size());
  for (size_t i = 0; i < moved.landlock().size(); ++i) {
    EXPECT_STREQ(moved.landlock()[i].path, plan->landlock()[i].path);
    EXPECT_EQ(moved.landlock()[i].write, plan->landlock()[i].write);
    EXPECT_EQ(moved.landlock()[i].execute, plan->landlock()[i].execute);
  }
}

TEST(EnterPlan, TheMemoryFileCannotBeChanged) {
  auto plan = EnterPlan::FromPolicy(SmallPolicy());
  ASSERT_TRUE(plan.ok());
  auto memfd = plan->ToMemfd();
  ASSERT_TRUE(memfd.ok());
  EXPECT_EQ(::pwrite(memfd->get(), "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(memfd->get(), 1), -1);
}

TEST(EnterPlan, DamagedFilesAreRefused) {
  auto plan = EnterPlan::FromPolicy(SmallPolicy());
  ASSERT_TRUE(plan.ok());
  auto memfd = plan->ToMemfd();
  ASSERT_TRUE(memfd.ok());
  std::string bytes(4096, '\0');
  bytes.resize(static_cast<size_t>(::pread(memfd->get(), bytes.data(), bytes.size(), 0)));
  // Every prefix, and every number of the header too large.
  for (size_t length = 0; length < bytes.size(); ++length) {
    const UniqueFd cut(::memfd_create("cut", MFD_CLOEXEC));
    ASSERT_EQ(::write(cut.get(), bytes.data(), length), static_cast<ssize_t>(length));
    EXPECT_FALSE(EnterPlan::FromMemfd(cut.get()).ok()) << length;
  }
  for (size_t at : {0, 4, 8}) {
    std::string wrong = bytes;
    std::memset(wrong.data() + at, 0xff, 4);
    const UniqueFd file(::memfd_create("wrong", MFD_CLOEXEC));
    ASSERT_EQ(::write(file.get(), wrong.data(), wrong.size()), static_cast<ssize_t>(wrong.size()));
    EXPECT_FALSE(EnterPlan::FromMemfd(file.get()).ok()) << at;
  }
}

TEST(EnterStage, EveryStageHasAName) {
  for (uint32_t stage = 0; stage <= static_cast<uint32_t>(EnterStage::kExec); ++stage) {
    EXPECT_STRNE(EnterStageName(static_cast<EnterStage>(stage)), "unknown") << stage;
  }
}

}  // namespace
}  // namespace carrel::sandbox
