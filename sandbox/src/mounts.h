// The file systems of the jail: the nursery's own root, the templates below it, and a session's root made from one.
//
// The nursery's root, after BuildNurseryRoot, is a small tmpfs that has nothing of the host but /proc (without a
// visible /proc the kernel refuses to mount a new one):
//
//     /proc    the host's
//     /t/N     the template of policy N: a read-only tmpfs with the policy's binds
//     /root    where a session's root is put together
//     /disk    where a disk-backed workspace passes by: of its file system the session sees one directory
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nursery_protocol.h"
#include "sandbox/policy.h"

namespace carrel::sandbox {

// In a mount namespace of the caller's own. An error names the path and the policy.
[[nodiscard]] absl::Status BuildNurseryRoot(std::span<const Policy> policies);

struct SetupError {
  SetupStage stage = SetupStage::kNone;
  int error = 0;
};

struct SessionRoot {
  uint32_t policy = 0;
  JailLimits limits;  // workspace_bytes, workspace_files, tmp_bytes
  uint32_t uid = 0;   // the owner of /mnt/data
  uint32_t gid = 0;
  std::string home;         // of the account `user`, which /etc/passwd has for the uid
  bool empty_proc = false;  // as the policy says
  int disk = -1;            // the mount of a disk-backed workspace (disk_keeper.h); -1: a tmpfs
};

// The HOME of the policy's environment; without one, the workspace.
[[nodiscard]] std::string HomeOf(const Policy& policy);

// In a process cloned from the nursery with CLONE_NEWNS (and NEWPID for a /proc of its own): makes the session's root
// and enters it. Afterwards nothing of the nursery's root can be named.
[[nodiscard]] SetupError EnterSessionRoot(const SessionRoot& root);

}  // namespace carrel::sandbox
