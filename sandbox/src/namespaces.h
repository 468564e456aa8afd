// Processes in new namespaces, and who is who in a user namespace.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"
#include "sandbox/identity.h"

namespace carrel::sandbox {

// The host's ids that the outer user namespace is made of.
struct IdRange {
  uint32_t inside = 0;
  uint32_t host_uid = 0;
  uint32_t host_gid = 0;
  uint32_t count = 0;
};

// `full`: a range that nobody else on the machine uses (above all of /etc/subuid's customary ones).
inline constexpr uint32_t kHostIdBase = 0x70000000;
inline constexpr uint32_t kHostIdCount = 65536;
// The uid inside of everything in `userns`, and of the first session in `full`.
inline constexpr uint32_t kSessionIdBase = 1000;
inline constexpr uint32_t kSessionIds = 60000;

// fork(2) with namespace flags, by the raw call: 0 in the child, -1 and errno on failure. For processes with one
// thread.
[[nodiscard]] pid_t ForkInto(int namespace_flags) noexcept;

// Writes uid_map and gid_map of the process. `deny_setgroups`: the only way for a writer without privileges.
[[nodiscard]] absl::Status WriteIdMaps(pid_t pid, const IdRange& range, bool deny_setgroups);

// All capabilities that this process has into its ambient set, so that they survive exec with any uid. 0 or errno.
[[nodiscard]] int KeepCapabilitiesOverExec() noexcept;

// Drops every capability but those in `keep` (a mask of 1 << CAP_*), for good. 0 or errno.
[[nodiscard]] int KeepOnlyCapabilities(uint64_t keep) noexcept;

}  // namespace carrel::sandbox
