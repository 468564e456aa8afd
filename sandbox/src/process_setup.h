// Small things that nursery, init and zygote do when they come to be.
#pragma once

#include <vector>

#include "sandbox/base/unique_fd.h"

namespace carrel::sandbox {

// Gives the descriptors the numbers from `first` on, in order, close-on-exec, and closes every other one above 2.
// 0 or errno; on success the vector owns the new numbers.
[[nodiscard]] int KeepOnlyDescriptors(std::vector<UniqueFd>* fds, int first = 3);

// Every signal unblocked, with its default action. Async-signal-safe.
void ResetSignals() noexcept;

// A signalfd for SIGCHLD, which is blocked from then on.
[[nodiscard]] UniqueFd WatchChildren();

}  // namespace carrel::sandbox
