#include "sandbox/rlimits.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

namespace carrel::sandbox {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

// What a main thread's stack may grow to, and what it starts with: the usual default.
constexpr uint64_t kStackBytes = 8 * kMiB;
constexpr uint64_t kStackBytesMax = 64 * kMiB;
// Private writable memory that is reserved and hardly touched: thread stacks (8 MiB each), malloc's arenas, the work
// areas of OpenBLAS. Without a cgroup it is the reserve beyond the memory limit; the watchdog counts what is touched.
// Generous, because a zygote's reservations count for each of its children.
constexpr uint64_t kDataReserveBytes = 4 * kGiB;
// With a cgroup RLIMIT_DATA only turns absurd requests into MemoryError where the host's size would let them through.
constexpr uint64_t kDataSlackBytes = 8 * kGiB;
// Nothing locks memory except small key buffers of crypto libraries.
constexpr uint64_t kLockedBytes = 64 * kKiB;
// Less than the kernel writes to a file; and to a core pattern that pipes into a program of the host 1 means "do not",
// where 0 means nothing (do_coredump).
constexpr uint64_t kCoreBytes = 1;
// POSIX message queues: Landlock lets nobody open one (no path leads to their file system), so they need no memory.
constexpr uint64_t kMessageQueueBytes = 0;
// Queued signals: what a default system gives, and no more.
constexpr uint64_t kPendingSignals = 4096;

}  // namespace

Rlimits RlimitsFor(const JailLimits& limits, bool cgroup) {
  Rlimits result;
  const auto add = [&result](int resource, uint64_t soft, uint64_t hard) {
    result.limits[result.count++] = Rlimit{.resource = resource, .soft = soft, .hard = hard};
  };
  add(RLIMIT_CORE, kCoreBytes, kCoreBytes);
  add(RLIMIT_NOFILE, limits.open_files, limits.open_files);
  add(RLIMIT_STACK, kStackBytes, kStackBytesMax);
  // The largest file that can exist anyway; this one also bounds a memfd and the size of a sparse file.
  const uint64_t file_bytes = std::max(limits.workspace_bytes, limits.tmp_bytes);
  add(RLIMIT_FSIZE, file_bytes, file_bytes);
  const uint64_t data_bytes =
      cgroup ? limits.memory_bytes * 2 + kDataSlackBytes : limits.memory_bytes + kDataReserveBytes;
  add(RLIMIT_DATA, data_bytes, data_bytes);
  add(RLIMIT_MEMLOCK, kLockedBytes, kLockedBytes);
  add(RLIMIT_MSGQUEUE, kMessageQueueBytes, kMessageQueueBytes);
  add(RLIMIT_SIGPENDING, kPendingSignals, kPendingSignals);
  add(RLIMIT_RTPRIO, 0, 0);
  add(RLIMIT_NICE, 0, 0);
  if (limits.cpu_seconds > 0) add(RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1);
  // The kernel counts per user and user namespace, not per session: where sessions share one, a cgroup is the better
  // count, and this only the fallback.
  if (!cgroup) add(RLIMIT_NPROC, limits.processes, limits.processes);
  return result;
}

int ApplyRlimits(const Rlimits& rlimits) noexcept {
  for (size_t i = 0; i < rlimits.count; ++i) {
    const Rlimit& wanted = rlimits.limits[i];
    rlimit now{};
    const auto resource = static_cast<__rlimit_resource_t>(wanted.resource);
    if (getrlimit(resource, &now) != 0) return errno;
    const rlimit next{.rlim_cur = std::min<rlim_t>({wanted.soft, wanted.hard, now.rlim_max}),
                      .rlim_max = std::min<rlim_t>(wanted.hard, now.rlim_max)};
    if (setrlimit(resource, &next) != 0) return errno;
  }
  return 0;
}

}  // namespace carrel::sandbox
