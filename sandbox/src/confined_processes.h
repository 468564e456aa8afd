// Which processes are jailed where no pid namespace says so.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace carrel::sandbox {

// The processes below `top` that have more system call filters than the caller. A filter can never be taken off, and of
// what is below the nursery only what EnterJail has shut has one more than the jailer's family: nobody can leave this
// list, and nobody of ours is on it. `top` must be a subreaper (or it is not above those who lost their parents).
// UNAVAILABLE: /proc cannot be read, or a process with a filter too many was just being handed to another parent: look
// again.
[[nodiscard]] absl::StatusOr<std::vector<pid_t>> JailedBelow(pid_t top);

// Sends the signal to each of them, as of now. true: there was nobody.
[[nodiscard]] absl::StatusOr<bool> SignalJailedBelow(pid_t top, int signal);

// Processes and threads of the user, as far as this pid namespace shows them: what RLIMIT_NPROC counts beside a
// session.
[[nodiscard]] uint64_t TasksOfUser(uid_t user);

// Kills until nobody is left, or for `rounds` looks. true: nobody is left.
[[nodiscard]] bool KillJailedBelow(pid_t top, int rounds);

}  // namespace carrel::sandbox
