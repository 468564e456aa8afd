// What stands in for the CPU controller's counting where there is no cgroup: the times of processes, added up.
//
// Exact for processes that live or were waited for by others of the session. Of one that ends otherwise (its parent
// ignores SIGCHLD, or has ended itself) what it used since the last look is lost: 50 ms each at most, and all of one
// that nobody ever saw.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace carrel::sandbox {

struct ProcessCpu {
  pid_t pid = -1;
  uint64_t start = 0;        // when it began, in the kernel's ticks: numbers are given anew
  uint64_t own_ns = 0;       // user and system time, of all its threads
  uint64_t children_ns = 0;  // of the children that it has waited for, and theirs
};

// From a /proc/PID/stat; nullopt: it is none. In steps of a tick, 10 ms.
[[nodiscard]] std::optional<ProcessCpu> ReadProcessCpu(std::string_view stat);

class CpuTime final {
 public:
  // All processes of the session, as they are now.
  void Update(const std::vector<ProcessCpu>& processes);
  // Of all its life so far; never falls.
  [[nodiscard]] uint64_t ns() const { return ns_; }

 private:
  std::map<std::pair<pid_t, uint64_t>, uint64_t> living_;  // what each had used itself at the last look
  uint64_t ended_ns_ = 0;                                  // the same, of those that are no more
  uint64_t ns_ = 0;
};

}  // namespace carrel::sandbox
