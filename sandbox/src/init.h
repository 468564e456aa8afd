// A session's init: pid 1 of its pid namespace, owner of its other namespaces and mounts, its reaper, its porter, and
// with an exec policy the parent of its program. Forked by the nursery; never executes anything itself.
#pragma once

#include <vector>

#include "nursery_protocol.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/enter.h"
#include "sandbox/policy.h"

namespace carrel::sandbox {

// The namespaces that an init is cloned with; the cgroup namespace follows when it is in its cgroup.
[[nodiscard]] int InitNamespaces();

// In the freshly cloned process. `order` is START_INIT and `fds` its descriptors.
[[noreturn]] void RunInit(const NurseryMessage& order, std::vector<UniqueFd> fds, const Policy& policy,
                          const EnterPlan& plan);

}  // namespace carrel::sandbox
