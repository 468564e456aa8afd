#include "uncounted_memory.h"

#include <algorithm>

namespace carrel::sandbox {
namespace {

// The syntax of every syscall policy. Pipes and sockets stay, with the size that the kernel gives them; the watchdog
// counts what they can hold.
constexpr char kRefusals[] = R"(
default errno ENOSYS                                # never used
errno ENOSYS memfd_create                           # a file without a name: in no process and in no file system of ours
errno ENOSYS shmget                                 # a segment outlives its mapping and its process
errno ENOSYS semget                                 # sets of semaphores are kernel memory, by the gigabyte
errno ENOSYS msgget                                 # so are message queues
errno EPERM mmap if a3.lo & MAP_SHARED|MAP_ANONYMOUS == MAP_SHARED|MAP_ANONYMOUS  # keeps its pages when they are unmapped
errno EPERM mmap if a3.lo & MAP_HUGETLB == MAP_HUGETLB   # taken from a pool that belongs to all
errno EPERM fcntl if a1.lo == F_SETPIPE_SZ          # what the kernel says over its own limit
)";

}  // namespace

absl::StatusOr<SyscallPolicy> RefuseUncountedMemory(const SyscallPolicy& policy) {
  absl::StatusOr<SyscallPolicy> refusals = ParseSyscallPolicy(kRefusals, "no-cgroup");
  if (!refusals.ok()) return refusals.status();
  SyscallPolicy result{.name = policy.name, .otherwise = policy.otherwise, .rules = refusals->rules};
  for (const SyscallRule& rule : policy.rules) {
    const bool refused = std::any_of(refusals->rules.begin(), refusals->rules.end(), [&rule](const SyscallRule& other) {
      return other.name == rule.name && other.conditions.empty();
    });
    if (!refused) result.rules.push_back(rule);
  }
  return result;
}

}  // namespace carrel::sandbox
