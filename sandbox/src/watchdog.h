// What stands in for the memory cgroup where there is none: somebody who counts. CPU time is read on the same rounds.
//
// Counted are the session's file systems; of each process what it maps, has swapped out and has in page tables; and for
// its sockets and pipes, whose content nobody can see, what they could hold. What could not be counted is refused
// (uncounted_memory.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cpu_time.h"
#include "session.h"

namespace carrel::sandbox {

inline constexpr int kWatchdogPeriodMillis = 50;

struct ProcessMemory {
  pid_t pid = -1;             // as the host sees it
  pid_t pid_in_session = -1;  // as the session's init sees it
  uint64_t bytes = 0;
};

struct SessionMemory {
  uint64_t shared_bytes = 0;             // file systems and sockets: of no process alone
  std::vector<ProcessMemory> processes;  // without the init
  std::vector<ProcessCpu> cpu;           // of the same, and the init's children
  [[nodiscard]] uint64_t Total() const;
};

// What the session holds now. Pages that several processes share count once. Where the exact number is dear and an
// upper bound already lies below `enough`, gives that bound.
[[nodiscard]] SessionMemory MeasureSession(const Session& session, uint64_t enough);

// Who must end so that the session holds at most `limit`: the largest first, the session's first process last among
// equals, those in `session.dying` counted as gone. Empty: nobody must, or (see `hopeless`) it would not help.
struct Victims {
  std::vector<ProcessMemory> processes;
  bool hopeless = false;  // even without all of them it is too much, or it grows faster than they end
};
[[nodiscard]] Victims ChooseVictims(const Session& session, const SessionMemory& memory, uint64_t limit);

// The facts in a /proc/PID/status that are counted.
struct StatusFacts {
  uint64_t resident_bytes = 0;
  uint64_t kernel_bytes = 0;  // swapped out, page tables, and what pipes could hold
  uint64_t table_slots = 0;   // of descriptors
  pid_t innermost_pid = -1;
};
[[nodiscard]] StatusFacts ReadStatusFacts(std::string_view status);

// What the process's sockets could hold, those in `counted` (by inode) left out, and adds them. What may not be
// looked at is taken for a socket: every descriptor of another user's process, and each of the `table_slots` of one
// that made itself undumpable.
[[nodiscard]] uint64_t SocketBytesOf(pid_t pid, uint64_t table_slots, std::set<std::string>* counted);

}  // namespace carrel::sandbox
