// Memory, processes and CPU of a whole session, held by the kernel's control groups: v2, v1, or v1 beside v2.
//
// CgroupTree is the jailer's own part of the hierarchy ("carrel-<pid>"), Cgroup one session's in it. Both own their
// directories and remove them when destroyed. Not thread-safe (the jailer has one thread).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::sandbox {

class CgroupTree;

// One session's group. Kills what is in it and removes it when destroyed. Must not outlive its tree.
class [[nodiscard]] Cgroup final {
 public:
  Cgroup(Cgroup&& other) noexcept;
  Cgroup& operator=(Cgroup&& other) noexcept;
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  ~Cgroup();

  // Moves the process (as the caller sees its pid) in, in every hierarchy. What it has used before stays where it was.
  [[nodiscard]] absl::Status Add(pid_t pid);
  // v2: the directory, for CLONE_INTO_CGROUP; -1 on v1 and hybrid.
  [[nodiscard]] int directory_fd() const;
  [[nodiscard]] absl::StatusOr<JailStats> Stats() const;
  // Processes that its memory limit has killed so far. 0 when it cannot be read.
  [[nodiscard]] uint64_t OomKills() const;
  // The processes in it now, as the caller sees their pids.
  [[nodiscard]] std::vector<pid_t> Processes() const;
  // SIGKILL to everything in it, again and again until it is empty (fork cannot win: v2 by cgroup.kill, v1 by a pids
  // limit of 0 first) or `tries` rounds of a millisecond are over. DEADLINE_EXCEEDED: not empty yet (a process in the
  // middle of a system call dies when that ends).
  [[nodiscard]] absl::Status KillAll(int tries = 200);
  // Kills and removes now, instead of in the destructor. DEADLINE_EXCEEDED as above; call again.
  [[nodiscard]] absl::Status Remove();
  // The limit's name as the kernel has it, for messages: "memory.max" or "memory.limit_in_bytes".
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  friend class CgroupTree;
  Cgroup() = default;

  std::string name_;
  bool unified_ = false;
  // The directories of this group, by controller; on v2 all the same one.
  std::string memory_;
  std::string pids_;
  std::string cpu_;
  std::string cpuacct_;
  std::vector<std::string> directories_;  // each once
  UniqueFd directory_;                    // v2
};

// The jailer's own directory in every hierarchy that is needed.
class [[nodiscard]] CgroupTree final {
 public:
  struct Options {
    // For tests: another directory than the kernel's (a fake of plain files), and its /proc files.
    std::string mounts = "/proc/self/mountinfo";
    std::string own_groups = "/proc/self/cgroup";
    // Prefix of every path taken from `mounts`.
    std::string root;
    // false: the kernel does not empty and remove pseudo files for us (the fake of the tests).
    bool kernel = true;
  };
  // Finds the hierarchies with memory, pids and cpu, makes "carrel-<pid>" in each below our own group, and tries it: a
  // child group with limits is made, its limits read back, a process moved into it. Removes those of dead jailers.
  // FAILED_PRECONDITION: which controller is missing or refused, and the mend.
  [[nodiscard]] static absl::StatusOr<CgroupTree> Detect(const Options& options);
  [[nodiscard]] static absl::StatusOr<CgroupTree> Detect() { return Detect(Options{}); }

  CgroupTree(CgroupTree&& other) noexcept;
  CgroupTree& operator=(CgroupTree&& other) noexcept;
  CgroupTree(const CgroupTree&) = delete;
  CgroupTree& operator=(const CgroupTree&) = delete;
  // Kills and removes what is left.
  ~CgroupTree();

  // `name`: letters, digits, '-' and '_'. `limits`: every field set. No swap beyond the memory limit; no
  // memory.oom.group, because a killed child of the code must not kill its session.
  [[nodiscard]] absl::StatusOr<Cgroup> Create(std::string_view name, const JailLimits& limits);
  // "v1: memory, pids, cpu, cpuacct" or "v2: memory, pids, cpu".
  [[nodiscard]] std::string Describe() const;

 private:
  CgroupTree() = default;

  Options options_;
  bool unified_ = false;
  // "carrel-<pid>" directories, by controller.
  std::string memory_;
  std::string pids_;
  std::string cpu_;
  std::string cpuacct_;
  std::vector<std::string> directories_;
};

}  // namespace carrel::sandbox
