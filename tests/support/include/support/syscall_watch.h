// Watches which system calls a process and its children make, with ptrace, as strace does; and lets some of them fail.
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
  // Called in the watch's own thread.
  using OnCall = std::function<void(int number, const std::array<uint64_t, 6>& arguments)>;
  // The same before the call is made. It is not made at all, and fails with the errno that this gives; 0: it is made.
  using Decide = std::function<int(int number, const std::array<uint64_t, 6>& arguments)>;
  enum class Whom { kJailed /* who has a seccomp filter on */, kAll };

  SyscallWatch(pid_t root, OnCall on_call);  // of those who are jailed
  SyscallWatch(pid_t root, Whom whom, Decide decide);
  // Lets go of everything; what was watched goes on.
  ~SyscallWatch();
  SyscallWatch(const SyscallWatch&) = delete;
  SyscallWatch& operator=(const SyscallWatch&) = delete;

  // Waits until the root is being followed. INTERNAL: it cannot be.
  [[nodiscard]] absl::Status WaitUntilAttached();

 private:
  struct Thread {
    bool filtered = false;  // a filter is on
    int error = 0;          // with which the call that it is in fails
  };
  void Follow();
  void Handle(pid_t thread, int status);
  void OnEntry(pid_t thread, Thread* known, int number, const std::array<uint64_t, 6>& arguments);

  const pid_t root_;
  const Whom whom_;
  const Decide decide_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> done_ = false;  // the thread needs no waking any more
  std::atomic<int> attached_ = 0;   // 1: yes; -errno: no
  std::map<pid_t, Thread> threads_;
  std::thread thread_;
};

}  // namespace carrel::testing
