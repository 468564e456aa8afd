// How much of the machine is this process's to use: what a container, a service or a pod is limited to, and not what
// the machine has. A server that plans with the machine's memory or CPUs in a container of 2 GiB is killed, or
// throttled.
//
// Limits are those of our own control group and of every group above it that can be seen, in whatever hierarchies there
// are (cgroup v1, v2, both at once). Where none can be read, none holds. Thread-safe; reads a few files at each call.
#pragma once

#include <cstdint>

#include "sandbox/cgroup.h"

namespace carrel::sandbox {

// Bytes: the least of the machine's memory and of the limits over us (v1 memory.limit_in_bytes, v2 memory.max). What
// others in the same groups use of it is not taken off. `options` is for tests.
[[nodiscard]] uint64_t UsableMemoryBytes(const CgroupOptions& options = {});

// CPUs, at least 1: those that we may be scheduled on (sched_getaffinity), or the CPU time over us (v1
// cpu.cfs_quota_us, v2 cpu.max) rounded up to whole CPUs where that is less. The number of threads that computing
// wants.
[[nodiscard]] uint32_t UsableCpus(const CgroupOptions& options = {});

}  // namespace carrel::sandbox
