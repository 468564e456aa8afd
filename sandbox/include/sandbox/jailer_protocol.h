// What is said between a server and its jailer, over one SOCK_SEQPACKET socket. Every message is one JailerMessage of
// one size: numbers, and a policy by its index, never a path, a mount or a command. jailer_client.h speaks it for
// servers.
//
//   jailer                                   server (descriptor number in the environment: CARREL_JAILER_FD)
//   HELLO [report memfd]            ->       the JailReport as lines: "tier\t...", "layer\tname\tactive\tdetail\tmend",
//                                            "weakened\t..."; `policy` is the number of policies
//   POLICY{policy, text=name, runtime, limits=defaults, caps, status=ready, generation} ->    one for each, and again
//                                            when it became ready or is made anew
//                                   <-       CREATE{request, policy, limits} [porter, stdin, stdout, stderr, control?]
//   CREATED{request, session, limits, times, cpu_is_unified} [O_PATH of the workspace, 6 counters]  ->
//                                            or FAILED{request, error, text}. Descriptors can be missing: without
//                                            counters (no cgroup) STATS tells
//                                   <-       INTERRUPT{request?, session}    SIGINT to the first process; with a
//                                   request,
//                                            an empty STATS answers it when the signal was sent
//                                   <-       STATS{request, session}
//   STATS{request, session, stats}  ->       or FAILED
//                                   <-       DESTROY{session}      kills, frees; also while it is being created
//                                   (request)
//   EXITED{session, status, memory_limit} -> the first process has ended; status as of waitpid
//   GONE{session, text}             ->       the session as a whole is no more: after DESTROY, or because its init died
//
// When the socket closes, the other side ends.
#pragma once

#include <cstdint>
#include <type_traits>

#include "sandbox/jail.h"

namespace carrel::sandbox {

inline constexpr const char* kJailerFdVariable = "CARREL_JAILER_FD";

enum class JailerMessageKind : uint32_t {
  kHello = 1,
  kPolicy,
  kCreate,
  kCreated,
  kFailed,
  kInterrupt,
  kStats,
  kDestroy,
  kExited,
  kGone,
};

// Descriptors of CREATE, by index. kCreateControl is there only when the message has kCreateFdsMax of them.
enum CreateFd : uint32_t { kCreatePorter, kCreateStdin, kCreateStdout, kCreateStderr, kCreateControl, kCreateFdsMax };

struct JailerMessage {
  JailerMessageKind kind = JailerMessageKind::kHello;
  uint32_t policy = 0;
  uint64_t request = 0;
  uint64_t session = 0;
  int32_t status = 0;
  int32_t error = 0;  // FAILED: an absl::StatusCode
  uint32_t memory_limit = 0;
  uint32_t generation = 0;
  uint32_t cpu_is_unified = 0;  // CREATED: as in CgroupCounters
  uint32_t runtime = 0;         // POLICY: a RuntimeUse
  JailLimits limits;
  JailLimits caps;
  JailStats stats;
  SetupTimes times;
  char text[216] = {};  // NUL-terminated, for people
};
static_assert(std::is_trivially_copyable_v<JailerMessage>);

}  // namespace carrel::sandbox
