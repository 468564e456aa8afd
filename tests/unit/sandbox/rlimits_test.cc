#include "sandbox/rlimits.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "gtest/gtest.h"
#include "in_child.h"

namespace carrel::sandbox {
namespace {

constexpr JailLimits kLimits{.memory_bytes = uint64_t{256} << 20,
                             .processes = 32,
                             .cpu_millis = 1000,
                             .workspace_bytes = uint64_t{64} << 20,
                             .workspace_files = 100,
                             .tmp_bytes = uint64_t{32} << 20,
                             .open_files = 64,
                             .cpu_seconds = 3};

const Rlimit* Find(const Rlimits& rlimits, int resource) {
  for (size_t i = 0; i < rlimits.count; ++i) {
    if (rlimits.limits[i].resource == resource) return &rlimits.limits[i];
  }
  return nullptr;
}

TEST(Rlimits, NeverLimitAddressSpace) {
  // OpenBLAS reserves 128 MiB a thread.
  EXPECT_EQ(Find(RlimitsFor(kLimits, true), RLIMIT_AS), nullptr);
  EXPECT_EQ(Find(RlimitsFor(kLimits, false), RLIMIT_AS), nullptr);
}

TEST(Rlimits, CountProcessesOnlyWithoutACgroup) {
  EXPECT_EQ(Find(RlimitsFor(kLimits, true), RLIMIT_NPROC), nullptr);
  ASSERT_NE(Find(RlimitsFor(kLimits, false), RLIMIT_NPROC), nullptr);
  EXPECT_EQ(Find(RlimitsFor(kLimits, false), RLIMIT_NPROC)->hard, 32U);
}

TEST(Rlimits, CpuSecondsZeroIsNone) {
  JailLimits limits = kLimits;
  limits.cpu_seconds = 0;
  EXPECT_EQ(Find(RlimitsFor(limits, true), RLIMIT_CPU), nullptr);
}

// Not built with ThreadSanitizer: its shadow counts as 35 TB of data, so under any RLIMIT_DATA the next allocation ends
// the process (dup is one: the run time remembers who made a descriptor).
#if !defined(__SANITIZE_THREAD__)
TEST(ApplyRlimits, HoldsForFilesAndCores) {
  EXPECT_EQ(InChild([] {
              if (const int error = ApplyRlimits(RlimitsFor(kLimits, true)); error != 0) return error;
              rlimit now{};
              if (getrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_cur != 64 || now.rlim_max != 64) return 100;
              if (getrlimit(RLIMIT_CORE, &now) != 0 || now.rlim_max > 1) return 101;
              int opened = 0;
              while (dup(1) >= 0) ++opened;
              return errno == EMFILE && opened < 64 ? 0 : 102;
            }),
            0);
}
#endif

TEST(ApplyRlimits, StopsAbsurdAllocationsAndFiles) {
  EXPECT_EQ(InChild([] {
              if (const int error = ApplyRlimits(RlimitsFor(kLimits, false)); error != 0) return error;
              const size_t absurd = size_t{100} << 30;
              void* block = mmap(nullptr, absurd, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              if (block != MAP_FAILED || errno != ENOMEM) return 100;
              signal(SIGXFSZ, SIG_IGN);
              const int file = memfd_create("sparse", MFD_CLOEXEC);
              if (ftruncate(file, off_t{1} << 40) == 0 || errno != EFBIG) return 101;
              return 0;
            }),
            0);
}

TEST(ApplyRlimits, DoesNotRaiseWhatIsLowerAlready) {
  EXPECT_EQ(InChild([] {
              const rlimit low{.rlim_cur = 20, .rlim_max = 30};
              if (setrlimit(RLIMIT_NOFILE, &low) != 0) return 100;
              if (const int error = ApplyRlimits(RlimitsFor(kLimits, true)); error != 0) return error;
              rlimit now{};
              if (getrlimit(RLIMIT_NOFILE, &now) != 0) return 101;
              return now.rlim_max == 30 && now.rlim_cur == 30 ? 0 : 102;
            }),
            0);
}

}  // namespace
}  // namespace carrel::sandbox
