// The nursery: pid 1 of an outer pid namespace inside the one outer user namespace. It starts zygotes and inits when
// the jailer says so, and everything jailed is below it: when it ends, the kernel ends all of them.
//
// It has every capability, but only over its own user namespace, and sees nothing of the host's files but /proc.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/enter.h"
#include "sandbox/policy.h"

namespace carrel::sandbox {

enum class Tier : uint8_t { kFull, kUserns };

struct Nursery {
  ChildProcess process;
  UniqueFd socket;  // speaks nursery_protocol.h
};

// Forks it and waits until it is up. What it could not set up is in the error, with the stage.
[[nodiscard]] absl::StatusOr<Nursery> StartNursery(Tier tier, const std::vector<Policy>& policies,
                                                   const std::vector<EnterPlan>& plans);

}  // namespace carrel::sandbox
