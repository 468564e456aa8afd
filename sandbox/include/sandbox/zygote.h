// The zygote's half of zygote_protocol.h: a process that has imported what sessions need, and forks them.
//
// Written so that the extension module of an interpreter stays thin:
//
//     auto zygote = Zygote::Connect();            // at start, before importing anything is fine too
//     ... import, warm up, freeze ...
//     zygote->Ready();
//     while (auto fork_order = zygote->Next()) {  // blocks; reaps and reports children meanwhile
//       interpreter's work before a fork (PyOS_BeforeFork)
//       pid_t pid = zygote->Fork(*fork_order);    // in the parent: > 0, or -1 (reported to the jailer already)
//       if (pid == 0) {
//         interpreter's work in the child (PyOS_AfterFork_Child): overlaps with the jailer's
//         zygote->EnterChild(*fork_order);        // waits at the gate, enters; ends the process on failure
//         return;                                 // descriptors 0 to 3 are the session's, everything is given up
//       }
//       interpreter's work in the parent (PyOS_AfterFork_Parent)
//     }
//     // the jailer is gone or wants us to be: end the process with _exit
//
// One thread only. Neither parent nor child may start a thread before EnterChild returns. The child ends up with the
// zygote's signal dispositions and mask.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/enter.h"
#include "sandbox/zygote_protocol.h"

namespace carrel::sandbox {

// One request to fork, with the session's descriptors. Dropped by Fork in the parent, used up by EnterChild in the
// child.
struct ForkOrder {
  ZygoteMessage message;
  std::array<UniqueFd, kForkFdsMax> fds;
};

class [[nodiscard]] Zygote final {
 public:
  // Takes the socket that CARREL_ZYGOTE_FD names (and removes the variable), and receives the plan.
  // FAILED_PRECONDITION: not started by a jailer.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Zygote>> Connect();

  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;
  ~Zygote() = default;

  // Says that forks are taken from now on.
  [[nodiscard]] absl::Status Ready();
  // The next order. nullopt: the jailer closed the socket, or broke the protocol (said on stderr): end.
  [[nodiscard]] std::optional<ForkOrder> Next();
  // Forks into the session's pid namespace. 0 in the child, the pid in the parent, -1 if it failed (and was reported).
  // In the parent the order's descriptors are closed afterwards.
  [[nodiscard]] pid_t Fork(ForkOrder& order);
  // In the child: waits for the jailer, enters. Returns only when the process is in its jail. The Zygote object may
  // only be destroyed or leaked after that.
  void EnterChild(ForkOrder& order) noexcept;

 private:
  Zygote(UniqueFd socket, UniqueFd pid_namespace, EnterPlan plan)
      : socket_(std::move(socket)), pid_namespace_(std::move(pid_namespace)), plan_(std::move(plan)) {}
  [[nodiscard]] bool Send(const ZygoteMessage& message, int fd = -1);
  // Reports the end of the child that `pidfd` is about.
  void Reap(uint64_t session);

  struct Child {
    pid_t pid = 0;
    UniqueFd pidfd;
  };
  UniqueFd socket_;
  UniqueFd pid_namespace_;  // our own, to come back to
  EnterPlan plan_;
  std::unordered_map<uint64_t, Child> children_;
};

}  // namespace carrel::sandbox
