// What can still be said when the process is about to die: a VERDICT frame from a signal handler.
//
// Poppler answers a failed allocation with "Out of memory" on stderr and then either abort() or an empty result that
// looks like a short success; both must end as a memory limit. The CPU limit comes as SIGXCPU. Other signals are left
// alone: the parent sees them.
#pragma once

#include <csignal>
#include <cstdint>
#include <string>

namespace carrel::retrieval::extract {

// Takes fd 2 for itself (a pipe that is read back) and handles SIGABRT and SIGXCPU, writing to `output_fd`.
// Once per process. Throws std::system_error.
void InstallLastWords(int output_fd, uint64_t cpu_seconds_max, uint64_t memory_bytes_max);

// Reads what was written to stderr so far; true when an allocation failed since the last call.
[[nodiscard]] bool AllocationFailed();

// While one lives a frame is half written, and SIGXCPU waits (the kernel repeats it every second).
class WholeFrame final {
 public:
  WholeFrame();
  ~WholeFrame();
  WholeFrame(const WholeFrame&) = delete;
  WholeFrame& operator=(const WholeFrame&) = delete;
};

}  // namespace carrel::retrieval::extract
