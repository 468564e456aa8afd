// Watches which system calls the jailed children of a process make, with ptrace, as strace does.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>

#include "absl/status/status.h"

namespace carrel::testing {

// Follows a process and all that it forks from now on. Takes the right to trace it (root).
class SyscallWatch final {
 public:
  // Called in the watch's own thread at each call of a process that has a seccomp filter on.
  using OnCall = std::function<void(int number, const std::array<uint64_t, 6>& arguments)>;

  SyscallWatch(pid_t root, OnCall on_call);
  // Lets go of everything; what was watched goes on.
  ~SyscallWatch();
  SyscallWatch(const SyscallWatch&) = delete;
  SyscallWatch& operator=(const SyscallWatch&) = delete;

  // Waits until the root is being followed. INTERNAL: it cannot be.
  [[nodiscard]] absl::Status WaitUntilAttached();

 private:
  void Follow();
  void Handle(pid_t thread, int status);

  const pid_t root_;
  const OnCall on_call_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> attached_ = 0;   // 1: yes; -errno: no
  std::map<pid_t, bool> filtered_;  // by thread: a filter is on
  std::thread thread_;
};

}  // namespace carrel::testing
