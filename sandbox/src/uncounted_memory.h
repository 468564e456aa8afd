// What a session may not do where there is no memory cgroup: keep memory in places where the watchdog, which sees
// processes and file systems, does not find it.
#pragma once

#include "absl/status/statusor.h"
#include "sandbox/seccomp.h"

namespace carrel::sandbox {

// The device that gives shared memory without a name when it is mapped, and the one that stands in its place: it reads
// the same, cannot be mapped, and is full for who writes to it.
inline constexpr char kZeroDevice[] = "/dev/zero";
inline constexpr char kZeroDeviceThatCannotBeMapped[] = "/dev/full";

// `policy` with the refusals in front of its own rules.
[[nodiscard]] absl::StatusOr<SyscallPolicy> RefuseUncountedMemory(const SyscallPolicy& policy);

}  // namespace carrel::sandbox
