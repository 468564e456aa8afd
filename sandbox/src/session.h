// One session as the jailer knows it.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "absl/time/time.h"
#include "cpu_time.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/cgroup.h"
#include "sandbox/identity.h"
#include "sandbox/jail.h"
#include "sandbox/rlimits.h"

namespace carrel::sandbox {

struct Session {
  enum class State : uint8_t {
    kSpare,     // nobody asked for it yet: its init makes its surroundings in advance, or waits in them
    kStarting,  // CREATE is not answered yet
    kRunning,
    kEnded,  // the first process has ended, the workspace stands
    kDying,  // init was killed; GONE follows when it has ended
  };

  uint64_t id = 0;
  uint64_t request = 0;  // the server's number of CREATE
  uint32_t policy = 0;
  JailLimits limits;
  Identity identity;
  Rlimits rlimits;
  State state = State::kSpare;
  absl::Time created;
  SetupTimes times;

  std::optional<Cgroup> cgroup;
  std::optional<CgroupCounters> counters;  // of it, for the server; until CREATED
  std::vector<UniqueFd> entrances;         // of it, while the session starts
  UniqueFd init_socket;
  UniqueFd init_pidfd;
  pid_t init_pid = -1;  // as the host sees it
  bool born = false;    // init said so
  bool joined = false;  // init was let into the cgroup

  // A zygote's session while it starts.
  std::vector<UniqueFd> standard;  // stdin, stdout, stderr, control?
  UniqueFd pid_namespace;
  std::vector<UniqueFd> namespaces;  // what goes through the gate
  UniqueFd gate;                     // our end
  bool forked = false;               // FORK was sent
  uint64_t zygote = 0;               // to which one
  bool ready = false;                // init's mounts stand
  bool let_go = false;

  UniqueFd main_pidfd;
  pid_t main_pid = -1;
  pid_t main_pid_in_nursery = -1;

  UniqueFd workspace;  // O_PATH, for the server; until CREATED
  // Without a cgroup: what the watchdog measures.
  std::array<UniqueFd, 3> tmpfs;
  uint64_t memory_bytes = 0;
  uint64_t memory_peak_bytes = 0;
  CpuTime cpu;
  std::set<pid_t> dying;  // ended by the watchdog, and perhaps still there
  uint64_t watchdog_kills = 0;
  bool asked_again = false;           // a second zygote, after the first had ended
  bool watchdog_killed_main = false;  // the first process was among them
  pid_t nursery = -1;  // the tier `confined`: below it is all that is jailed, and all of it is this session's

  bool is_swept = false;  // the tier `confined`: its init is gone, and now the rest of it has to go
};

}  // namespace carrel::sandbox
