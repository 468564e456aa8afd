// The nursery: pid 1 of an outer pid namespace inside the one outer user namespace. It starts zygotes and inits when
// the jailer says so, and everything jailed is below it: when it ends, the kernel ends all of them.
//
// In the tier `confined` it is an ordinary process: a subreaper, which ends what is below it when the jailer ends.
//
// Else it has every capability, but only over its own user namespace, and sees nothing of the host's files but /proc.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/enter.h"
#include "sandbox/policy.h"
#include "tier.h"

namespace carrel::sandbox {

struct Nursery {
  ChildProcess process;
  UniqueFd socket;  // speaks nursery_protocol.h
};

// `claim`: a descriptor that it holds as long as anything below it may live (confined_places.h).
// Forks it and waits until it is up. What it could not set up is in the error, with the stage.
[[nodiscard]] absl::StatusOr<Nursery> StartNursery(Tier tier, const std::vector<Policy>& policies,
                                                   const std::vector<EnterPlan>& plans, UniqueFd claim = {});

}  // namespace carrel::sandbox
