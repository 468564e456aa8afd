// A policy as it must be where sessions have no namespaces: its files are where the host has them, and what a namespace
// would have kept apart is refused.
#pragma once

#include "absl/status/statusor.h"
#include "sandbox/policy.h"
#include "sandbox/seccomp.h"

namespace carrel::sandbox {

// What a session may write to in the tier `confined`, one session after the other.
inline constexpr const char* kConfinedPlaces[] = {"/mnt/data", "/tmp", "/dev/shm"};

// `policy` with every path of its command, environment and Landlock rules that lies below a bind's target replaced by
// its place below the source; /etc, /dev and /proc narrowed to the files that a jail's own would have; and its filter
// with RefuseSharedKernel. INVALID_ARGUMENT: a rule for a path that no bind shows.
[[nodiscard]] absl::StatusOr<Policy> ConfinePolicy(const Policy& policy);

// `policy` with the refusals in front of its own rules: whatever reaches another process of the pod by its number or
// its uid, its sockets, and the IPC objects that all of them share.
[[nodiscard]] absl::StatusOr<SyscallPolicy> RefuseSharedKernel(const SyscallPolicy& policy);

}  // namespace carrel::sandbox
