// An image of a file system, mounted through a loop device. For the disk-backed workspaces (disk_keeper.h); needs
// CAP_SYS_ADMIN in the first user namespace.
#pragma once

#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::sandbox {

// Mounts the ext4 image that `image` is open for (reading and writing), nosuid and nodev, without giving it a place:
// the descriptor is the mount, for move_mount(2) or as a directory for *at calls. The last one who holds it, or what
// was mounted with it, frees the loop device too; nobody has to remember either, however he ends.
// NOT_FOUND, PERMISSION_DENIED: there are no loop devices for us, and the mend; UNAVAILABLE: the kernel's refusal.
[[nodiscard]] absl::StatusOr<UniqueFd> MountImage(int image);

}  // namespace carrel::sandbox
