// Memory, processes and CPU of a whole session, held by the kernel's control groups: v2, v1, or v1 beside v2 (each
// controller is used where it is mounted).
//
// CgroupTree is the jailer's own part of the hierarchy ("carrel-<pid>"), Cgroup one session's in it. Both own their
// directories and remove them when destroyed. Not thread-safe (the jailer has one thread).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::sandbox {

// Where a controller is ruled: a directory, in a v2 (unified) or a v1 hierarchy.
struct CgroupPlace {
  std::string directory;
  bool unified = false;
  bool favors_moves = false;  // v2: its mount option favordynmods
};

struct CgroupPlaces {
  CgroupPlace memory;
  CgroupPlace pids;
  CgroupPlace cpu;
  CgroupPlace cpuacct;  // v1 only; on v2 that is cpu's
};

struct CgroupOptions {
  // For tests, which make a fake of plain files: the kernel's tables, a prefix of every mount point in them, and
  // `kernel` = false, because only the kernel fills a new directory with files and lets it be removed with them.
  std::string mounts = "/proc/self/mountinfo";
  std::string own_groups = "/proc/self/cgroup";
  std::string root;
  bool kernel = true;
};

// The counters of one group, read through descriptors that were opened by who may: whoever holds them needs no right
// and no path. Movable between processes as its descriptors and one flag. Thread-safe for reading.
class [[nodiscard]] CgroupCounters final {
 public:
  enum File : uint32_t { kMemory, kMemoryPeak, kMemoryEvents, kCpu, kPids, kPidsEvents, kFilesMax };

  CgroupCounters() = default;
  // `cpu_is_unified`: the CPU file is v2's.
  CgroupCounters(std::array<UniqueFd, kFilesMax> files, bool cpu_is_unified)
      : files_(std::move(files)), cpu_is_unified_(cpu_is_unified) {}

  [[nodiscard]] const std::array<UniqueFd, kFilesMax>& files() const { return files_; }
  [[nodiscard]] bool cpu_is_unified() const { return cpu_is_unified_; }
  // FAILED_PRECONDITION: the group is gone.
  [[nodiscard]] absl::StatusOr<JailStats> Read() const;

 private:
  std::array<UniqueFd, kFilesMax> files_;
  bool cpu_is_unified_ = false;
};

// One session's group. Kills what is in it and removes it when destroyed.
class [[nodiscard]] Cgroup final {
 public:
  Cgroup(Cgroup&& other) noexcept;
  Cgroup& operator=(Cgroup&& other) noexcept;
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  ~Cgroup();

  // A process comes in by two ways, and must take both.
  // What is v2: the caller moves it, by the pid that he sees. What it has used before stays where it was.
  [[nodiscard]] absl::Status AddToUnified(pid_t pid);
  // What is v1: it moves itself, with EnterCgroup, while it has one thread. Moving another process takes the lock over
  // all forks, whose first taking waits for an RCU grace period (5 to 15 ms); for a thread that moves itself alone the
  // kernel needs no lock (0.03 ms). In any user namespace: the rights of who opened the entrance count.
  [[nodiscard]] absl::StatusOr<std::vector<UniqueFd>> OpenEntrances() const;
  [[nodiscard]] absl::StatusOr<CgroupCounters> OpenCounters() const;
  // false: somebody has removed it, or what it is in.
  [[nodiscard]] bool IsThere() const;
  // Others than those it was made with, while nothing runs in it. Every field set.
  [[nodiscard]] absl::Status SetLimits(const JailLimits& limits) const;
  [[nodiscard]] absl::StatusOr<JailStats> Stats() const;
  // Processes that its memory limit has killed so far. 0 when it cannot be read.
  [[nodiscard]] uint64_t OomKills() const;
  // The processes in it now, as the caller sees their pids.
  [[nodiscard]] std::vector<pid_t> Processes() const;
  // SIGKILL to everything in it, until it is empty or `rounds` of a millisecond are over. Fork cannot win: cgroup.kill
  // on v2, a pids limit of 0 before the first round on v1; so nothing new can start in it afterwards.
  // DEADLINE_EXCEEDED: not empty yet (a process inside a long system call dies when that ends).
  [[nodiscard]] absl::Status KillAll(int rounds = 200);
  // Kills and removes now, instead of in the destructor. DEADLINE_EXCEEDED as above; call again.
  [[nodiscard]] absl::Status Remove();

 private:
  friend class CgroupTree;
  Cgroup() = default;
  [[nodiscard]] std::vector<std::string> Directories() const;
  [[nodiscard]] std::vector<std::string> Directories(bool unified) const;
  // false: something runs in it, or its end is not over.
  [[nodiscard]] bool RemoveEmpty() const;

  CgroupPlaces places_;
  bool kernel_ = true;
};

// At most so many entrances: memory, pids, cpu and cpuacct, each in a hierarchy of its own.
inline constexpr size_t kCgroupEntrancesMax = 4;
// Moves the calling thread into the group that `entrance` belongs to. 0 or errno. Async-signal-safe.
[[nodiscard]] int EnterCgroup(int entrance) noexcept;

// The jailer's own directory in every hierarchy that is needed. It holds a lock on it (flock), by which the next jailer
// knows that it is alive: a child that outlives the jailer must not keep its descriptors.
class [[nodiscard]] CgroupTree final {
 public:
  // Finds memory, pids and cpu, makes "carrel-<pid>" below our own group in each hierarchy, and tries it: makes a group
  // with limits, reads them back, and moves a process into it. Removes what dead jailers have left.
  // FAILED_PRECONDITION: which controller is missing or refused, and the mend. Forks.
  [[nodiscard]] static absl::StatusOr<CgroupTree> Detect(const CgroupOptions& options = {});

  CgroupTree(CgroupTree&& other) noexcept;
  CgroupTree& operator=(CgroupTree&& other) noexcept;
  CgroupTree(const CgroupTree&) = delete;
  CgroupTree& operator=(const CgroupTree&) = delete;
  // Kills and removes what is left.
  ~CgroupTree();

  // `name`: letters, digits and '-'. `limits`: every field set. No swap beyond the memory limit; no memory.oom.group,
  // because a killed child of the code must not kill its session.
  [[nodiscard]] absl::StatusOr<Cgroup> Create(std::string_view name, const JailLimits& limits);
  // "v1: memory, pids, cpu, cpuacct", "v2: memory, pids, cpu", "v1: cpu; v2: memory, pids".
  [[nodiscard]] std::string Describe() const;
  // Whether moving a process into a group of it (Cgroup::AddToUnified) waits for an RCU grace period: on v2, where that
  // is not mounted with favordynmods.
  [[nodiscard]] bool MovesWait() const;

 private:
  CgroupTree() = default;
  [[nodiscard]] absl::Status TryIt();

  CgroupOptions options_;
  CgroupPlaces places_;
  std::vector<UniqueFd> locks_;
};

}  // namespace carrel::sandbox
