// What /proc says about a process.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace carrel {

// The pid, as the caller sees it, of the process that a pidfd is about. NOT_FOUND: it has ended and was reaped.
[[nodiscard]] absl::StatusOr<pid_t> PidOfPidfd(int pidfd);

// The whole of a small file, at most `bytes_max` (RESOURCE_EXHAUSTED over it).
[[nodiscard]] absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t bytes_max = 1 << 20);

// One write(2) of all of `text` into an existing file; for /proc and the like.
[[nodiscard]] absl::Status WriteExistingFile(const std::string& path, const std::string& text);

}  // namespace carrel
