#include "sandbox/usable_resources.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "fake_cgroup_files.h"
#include "gtest/gtest.h"

namespace carrel::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// The kernel's tables and files, made up. 64 MiB and 1 CPU are less than any machine that runs these tests has.
class UsableResourcesTest : public FakeCgroupFiles {
 protected:
  void MakeUnified(const std::string& own = "/pod/container") const {
    Write("mountinfo", "30 23 0:26 / /cg rw,relatime - cgroup2 cgroup2 rw\n");
    Write("cgroup", "0::" + own + "\n");
    fs::create_directories(Path("root/cg" + own));
  }
  void MakeV1() const {
    Write("mountinfo",
          "31 23 0:27 /docker/1 /cg/memory rw - cgroup cgroup rw,memory\n"
          "32 23 0:28 /docker/1 /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
    Write("cgroup", "4:memory:/docker/1/service\n1:cpu,cpuacct:/docker/1/service\n");
    for (const char* group : {"root/cg/memory/service", "root/cg/cpu/service"}) fs::create_directories(Path(group));
  }
  static uint64_t MachineMemory() {
    return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  static uint32_t AffinityCpus() {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<uint32_t>(CPU_COUNT(&set)) : 1;
  }
};

TEST_F(UsableResourcesTest, WithoutControlGroupsTheMachineIsTheLimit) {
  EXPECT_EQ(UsableMemoryBytes(options_), MachineMemory());
  EXPECT_EQ(UsableCpus(options_), AffinityCpus());
}

TEST_F(UsableResourcesTest, UnifiedTheLeastOnTheWayUpHolds) {
  MakeUnified();
  Write("root/cg/pod/container/memory.max", "134217728\n");
  Write("root/cg/pod/memory.max", "67108864\n");
  EXPECT_EQ(UsableMemoryBytes(options_), 64 * kMiB);
  Write("root/cg/pod/memory.max", "max\n");
  EXPECT_EQ(UsableMemoryBytes(options_), 128 * kMiB);
}

TEST_F(UsableResourcesTest, InAContainerTheMountPointIsOurOwnGroup) {
  MakeUnified("/");
  Write("root/cg/memory.max", "67108864\n");
  Write("root/cg/cpu.max", "50000 100000\n");
  EXPECT_EQ(UsableMemoryBytes(options_), 64 * kMiB);
  EXPECT_EQ(UsableCpus(options_), 1);
}

TEST_F(UsableResourcesTest, NoLimitAndMoreThanThereIsAreTheMachines) {
  MakeUnified();
  Write("root/cg/pod/container/memory.max", "9223372036854771712\n");
  Write("root/cg/pod/container/cpu.max", "max 100000\n");
  EXPECT_EQ(UsableMemoryBytes(options_), MachineMemory());
  EXPECT_EQ(UsableCpus(options_), AffinityCpus());
  Write("root/cg/pod/container/cpu.max", "6400000000 100000\n");
  EXPECT_EQ(UsableCpus(options_), AffinityCpus());
}

TEST_F(UsableResourcesTest, APartOfACpuIsAWholeThread) {
  MakeUnified();
  Write("root/cg/pod/cpu.max", "150000 100000\n");
  EXPECT_EQ(UsableCpus(options_), std::min(AffinityCpus(), 2U));
  Write("root/cg/pod/container/cpu.max", "1000 100000\n");
  EXPECT_EQ(UsableCpus(options_), 1);
}

TEST_F(UsableResourcesTest, VersionOneBelowTheContainersGroup) {
  MakeV1();
  Write("root/cg/memory/memory.limit_in_bytes", "67108864\n");
  Write("root/cg/memory/service/memory.limit_in_bytes", "9223372036854771712\n");
  Write("root/cg/cpu/service/cpu.cfs_quota_us", "-1\n");
  Write("root/cg/cpu/service/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(UsableMemoryBytes(options_), 64 * kMiB);
  EXPECT_EQ(UsableCpus(options_), AffinityCpus());
  Write("root/cg/cpu/cpu.cfs_quota_us", "100000\n");
  Write("root/cg/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(UsableCpus(options_), 1);
}

TEST_F(UsableResourcesTest, VersionOneSaysTheLimitsOfGroupsThatAreNotShown) {
  MakeV1();
  Write("root/cg/memory/service/memory.limit_in_bytes", "134217728\n");
  Write("root/cg/memory/service/memory.stat", "cache 0\nhierarchical_memory_limit 67108864\n");
  EXPECT_EQ(UsableMemoryBytes(options_), 64 * kMiB);
}

TEST_F(UsableResourcesTest, HybridEitherHierarchyLimits) {
  MakeV1();
  std::ofstream(Path("mountinfo"), std::ios::app) << "33 23 0:29 / /cg/unified rw - cgroup2 cgroup2 rw\n";
  std::ofstream(Path("cgroup"), std::ios::app) << "0::/service\n";
  Write("root/cg/memory/memory.limit_in_bytes", "134217728\n");
  Write("root/cg/unified/service/memory.max", "67108864\n");
  EXPECT_EQ(UsableMemoryBytes(options_), 64 * kMiB);
}

TEST_F(UsableResourcesTest, WhatIsNoNumberIsNoLimit) {
  MakeUnified();
  for (const char* text : {"", "-1\n", "12 apples\n", "99999999999999999999\n"}) {
    Write("root/cg/pod/container/memory.max", text);
    Write("root/cg/pod/container/cpu.max", text);
    EXPECT_EQ(UsableMemoryBytes(options_), MachineMemory()) << text;
    EXPECT_EQ(UsableCpus(options_), AffinityCpus()) << text;
  }
  Write("root/cg/pod/container/cpu.max", "100000 0\n");
  EXPECT_EQ(UsableCpus(options_), AffinityCpus());
}

}  // namespace
}  // namespace carrel::sandbox
