// The disk keeper: the process that makes the disk-backed workspaces. A child of the jailer's, of its own program, for
// disks make wait (one that is full of somebody's writes makes wait for seconds), and the jailer waits for nobody.
//
//   jailer -> keeper    DiskOrder [socket]    one end of a pair, whose other end goes to the session's init
//   keeper -> init      DiskReply [mount]     over that pair, once: a mount that has no place yet, or an error
//
// Each disk has a child of the keeper's to itself, which makes it and waits for its end.
//
// The init keeps its end as long as it lives. When that closes, the session is over: what it has not written back yet
// need not be, and is dropped. Needs CAP_SYS_ADMIN in the first user namespace (the tier `full`).
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "absl/status/statusor.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::sandbox {

struct DiskOrder {
  uint64_t bytes = 0;  // as DiskSize
  uint64_t files = 0;
  uint32_t uid = 0;  // the owner of the workspace, in the first user namespace
  uint32_t gid = 0;
};
static_assert(std::is_trivially_copyable_v<DiskOrder>);

struct DiskReply {
  int32_t error = 0;  // errno; ENOSPC: the disk has not so much free
};
static_assert(std::is_trivially_copyable_v<DiskReply>);

struct DiskKeeper {
  ChildProcess process;
  UniqueFd socket;  // non-blocking: orders. When it closes, the keeper sees its sessions out and ends
};

// Forks it. `directory`: where the images are (disk_image.h). What is wrong with it, the doctor has found before
// (ExamineDiskWorkspaces); what goes wrong later fails the session.
[[nodiscard]] absl::StatusOr<DiskKeeper> StartDiskKeeper(const std::string& directory);

// In an init: waits for the workspace and gives its mount. `error`: errno, when there is none.
[[nodiscard]] UniqueFd AwaitDiskWorkspace(int socket, int* error);

}  // namespace carrel::sandbox
