// A jailer of which something is taken away, and whether it is as before when it has it again.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "jail_fixture.h"

namespace carrel::sandbox {

class ScarcityTest : public JailTest {
 protected:
  [[nodiscard]] pid_t jailer() { return jailer_->process().pid(); }

  // Numbers below this one are taken; a limit of it leaves none.
  [[nodiscard]] rlim_t DescriptorsOf(pid_t pid) const {
    rlim_t most = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
      most = std::max<rlim_t>(most, std::stoul(entry.path().filename().string()) + 1);
    }
    return most;
  }
  static void LimitDescriptors(pid_t pid, rlim_t limit) {
    rlimit now{};
    ASSERT_EQ(::prlimit(pid, RLIMIT_NOFILE, nullptr, &now), 0);
    now.rlim_cur = limit;
    ASSERT_EQ(::prlimit(pid, RLIMIT_NOFILE, &now, nullptr), 0);
  }
  [[nodiscard]] static rlim_t MostDescriptors(pid_t pid) {
    rlimit now{};
    EXPECT_EQ(::prlimit(pid, RLIMIT_NOFILE, nullptr, &now), 0);
    return now.rlim_max;
  }
  // The nursery's child; what it has forked is below it.
  [[nodiscard]] pid_t Zygote() {
    for (const pid_t pid : Children(Nursery())) {
      char program[256] = {};
      const ssize_t length = ::readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), program, sizeof program - 1);
      if (length > 0 && std::string(program).ends_with("test_zygote")) return pid;
    }
    return -1;
  }
  [[nodiscard]] pid_t Nursery() const { return jailer_->nursery_pid(); }
  void ExpectAllIsWell() {
    EXPECT_TRUE(Eventually([&] { return RunScript(maker(), "echo fine") == "fine\n"; }));
    EXPECT_TRUE(Eventually([&] { return StartJail(maker(), "forks").ok(); }));
    EXPECT_FALSE(jailer_->process().Wait(absl::ZeroDuration()).has_value());
  }
};

}  // namespace carrel::sandbox
