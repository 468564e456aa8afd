// What is said inside the jailer's own family: jailer, nursery and inits are one program, forked without exec, so these
// structs are never older or newer than their reader.
#pragma once

#include <cstdint>
#include <type_traits>

#include "sandbox/enter.h"
#include "sandbox/identity.h"
#include "sandbox/jail.h"
#include "sandbox/rlimits.h"

namespace carrel::sandbox {

// Where the setting up of a session's surroundings failed. The order is the order of the steps.
enum class SetupStage : uint32_t {
  kNone = 0,
  kTemplate,
  kUserNamespace,
  kMountNamespace,
  kDescriptors,
  kRoot,       // a copy of the template
  kDisk,       // a disk-backed workspace, made by the disk keeper
  kWorkspace,  // at /mnt/data
  kTmp,        // at /tmp and /dev/shm
  kAccounts,   // /etc/passwd and /etc/group
  kProc,
  kPivot,
  kCgroup,  // into the session's
  kCgroupNamespace,
  kNamespaceFds,
  kInitIdentity,
  kFork,
  kEnter,  // EnterJail failed: see `enter`
};
[[nodiscard]] const char* SetupStageName(SetupStage stage) noexcept;

// jailer <-> nursery.
//   -> MAPPED                     the user namespace's maps are written
//   -> START_ZYGOTE{policy, zygote} [socket]
//   -> START_INIT{session, policy, limits, identity, rlimits} [control, porter, stdin, stdout, stderr, (control of the
//                                 program)]; for a zygote's session only the first two,
//                                 for a spare only the first. With on_disk one more, the last: the init's end of
//                                 what is said in disk_keeper.h
//   <- NEEDS_MAP                  (full) the user namespace is there
//   <- FORKED [pidfd]             the stem made the nursery
//   <- UP | FAILED{stage, error, text}: once, for the nursery itself
//   <- ZYGOTE_STARTED{policy, zygote, pid} [pidfd]   or FAILED{policy, zygote}
//   <- INIT_STARTED{session} [pidfd]         or FAILED{session}
//   <- REAPED{pid, status}        some child of the nursery, by its pid in there
//   -> PING                       <- PONG, at once
enum class NurseryMessageKind : uint32_t {
  kMapped = 1,
  kStartZygote,
  kStartInit,
  kNeedsMap,
  kForked,
  kUp,
  kFailed,
  kZygoteStarted,
  kInitStarted,
  kReaped,
  kPing,
  kPong,
};

struct NurseryMessage {
  NurseryMessageKind kind = NurseryMessageKind::kUp;
  uint32_t policy = 0;
  uint64_t session = 0;  // FAILED: 0, and policy is ~0: the nursery itself
  uint64_t zygote = 0;   // the keeper's number of it
  int32_t pid = 0;
  int32_t status = 0;
  SetupStage stage = SetupStage::kNone;
  int32_t error = 0;
  JailLimits limits;
  Identity identity;
  Rlimits rlimits;
  uint32_t own_user_namespace = 0;
  uint32_t on_disk = 0;  // START_INIT: the workspace comes from the disk keeper
  char text[200] = {};
};
static_assert(std::is_trivially_copyable_v<NurseryMessage>);

// jailer <-> a session's init.
//   <- BORN [pid ns]
//   -> JOIN [entrances of the cgroup]   go through them; as far as it is v2, init is in it already
//   <- READY [mnt, net, ipc, uts, cgroup namespaces; then O_PATH of /mnt/data, /tmp, /dev/shm]
//   <- MAIN_STARTED [pidfd]      exec policies: the program runs, everything given up
//   <- MAIN_EXITED{status}
//   <- FAILED{stage, error, enter}
//   -> ADOPT [porter]            a spare becomes a session
//   -> KILL_ONE{pid}             SIGKILL to one process, by its number in the session
//   -> KILL_ALL                  SIGKILL to everything in the session but the init
// The init ends when the socket closes.
enum class InitMessageKind : uint32_t {
  kBorn = 1,
  kJoin,
  kReady,
  kMainStarted,
  kMainExited,
  kFailed,
  kKillOne,
  kKillAll,
  kAdopt,
};

struct InitMessage {
  InitMessageKind kind = InitMessageKind::kBorn;
  int32_t status = 0;
  int32_t pid = 0;
  SetupStage stage = SetupStage::kNone;
  int32_t error = 0;
  EnterReport enter;
};
static_assert(std::is_trivially_copyable_v<InitMessage>);

// The descriptors of READY after those of GoFd.
inline constexpr uint32_t kReadyTmpfsFds = 3;

}  // namespace carrel::sandbox
