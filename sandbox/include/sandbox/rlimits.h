// Limits that the kernel holds for each process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sandbox/jail.h"

namespace carrel::sandbox {

struct Rlimit {
  int resource = 0;  // RLIMIT_*
  uint64_t soft = 0;
  uint64_t hard = 0;
};

// Plain data, computed before the fork.
struct Rlimits {
  std::array<Rlimit, 16> limits{};
  size_t count = 0;
};

// What `limits` (every field set) means for one process. Without a cgroup the address space and the processes are
// limited here too, more coarsely.
[[nodiscard]] Rlimits RlimitsFor(const JailLimits& limits, bool cgroup);

// Sets soft and hard limits. A hard limit that is already lower stays as it is (raising needs CAP_SYS_RESOURCE, which
// even root may lack), and the soft one with it. 0 or errno. Async-signal-safe.
[[nodiscard]] int ApplyRlimits(const Rlimits& rlimits) noexcept;

}  // namespace carrel::sandbox
