// The real JailMaker: asks the jailer that started this process.
//
// One thread of its own reads the jailer's answers; any number of threads may call. When the jailer is gone every call
// fails with UNAVAILABLE, and the kernel ends this process anyway (PDEATHSIG).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::sandbox {

// The jailer's socket from CARREL_JAILER_FD (which it removes from the environment). Waits for the jailer's HELLO.
// FAILED_PRECONDITION: this process was not started by a jailer. Jails must not outlive the maker.
[[nodiscard]] absl::StatusOr<std::unique_ptr<JailMaker>> ConnectToJailer();

// The same over a given socket.
[[nodiscard]] absl::StatusOr<std::unique_ptr<JailMaker>> ConnectToJailer(UniqueFd socket);

}  // namespace carrel::sandbox
