// What is said between the jailer and a zygote, over one SOCK_SEQPACKET socket. Every message is one ZygoteMessage.
// zygote.h has the zygote's half of it as a class; nobody else needs to parse this.
//
//   jailer                                     zygote (descriptor number in the environment: CARREL_ZYGOTE_FD)
//   SETUP          [plan memfd]      ->        once, first: keep the EnterPlan
//                                    <-        READY: everything is imported; forks are taken from now on
//   FORK{session}  [pid ns, gate, stdin, stdout, stderr, control?]  ->
//                                              setns(pid ns, CLONE_NEWPID); fork; setns back; close all of these
//                                    <-        FORKED{session, pid}  [pidfd of the child]
//                                    or        FAILED{session, error}: nothing was forked
//   through the gate, to the child: one byte, N [mnt ns, net ns, ipc ns, uts ns, cgroup ns, N entrances of the cgroup,
//   /proc?]; the last where the session has none by policy and the child must find itself all the same (EnterRequest).
//   the session's mounts stand, and the child is in the cgroup as far as that is v2. The child goes through the
//   entrances, enters the namespaces in this order and gives up everything (EnterJail).
//   From the child, through the gate: an EnterReport if it fails, and the end of file either way.
//                                    <-        EXITED{session, status}: the child was reaped; status as of waitpid
//
// The child waits at the gate for the jailer, and the zygote waits for nobody. FORKED always comes before EXITED. When
// the socket closes, the other side ends. An end of file at the gate before "go" makes the child end.
#pragma once

#include <cstdint>
#include <type_traits>

#include "sandbox/identity.h"
#include "sandbox/rlimits.h"

namespace carrel::sandbox {

inline constexpr const char* kZygoteFdVariable = "CARREL_ZYGOTE_FD";

enum class ZygoteMessageKind : uint32_t { kSetup = 1, kReady, kFork, kForked, kFailed, kExited };

// Descriptors of FORK, by index. kForkControl is there only when the message has kForkFdsMax of them.
enum ForkFd : uint32_t { kForkPidNs, kForkGate, kForkStdin, kForkStdout, kForkStderr, kForkControl, kForkFdsMax };

// Descriptors of the byte that opens the gate; the entrances of the cgroup follow.
enum GoFd : uint32_t { kGoMntNs, kGoNetNs, kGoIpcNs, kGoUtsNs, kGoCgroupNs, kGoFdsMax };

struct ZygoteMessage {
  ZygoteMessageKind kind = ZygoteMessageKind::kSetup;
  int32_t error = 0;                // FAILED: errno
  uint64_t session = 0;             // FORK, FORKED, FAILED, EXITED
  int32_t pid = 0;                  // FORKED: as the zygote sees it
  int32_t status = 0;               // EXITED
  Identity identity;                // FORK
  Rlimits rlimits;                  // FORK
  uint32_t own_user_namespace = 0;  // FORK: as in EnterRequest
  uint32_t no_namespaces = 0;       // FORK: the tier `confined`. The descriptors are the pod's own, and nobody enters
};
static_assert(std::is_trivially_copyable_v<ZygoteMessage>);

}  // namespace carrel::sandbox
