// Giving up who we are: groups, ids, capabilities, and the way back.
#pragma once

#include <cstdint>

namespace carrel::sandbox {

struct Identity {
  uint32_t uid = 0;
  uint32_t gid = 0;
  // true: the supplementary groups cannot be dropped (a user namespace whose setgroups is "deny", the only kind that an
  // unprivileged user can make), and that is accepted. They grant nothing that is not bound into the jail.
  bool groups_are_fixed = false;
  // true: we are this uid already, not 0, and have no capability with which to empty the bounding set and to lock the
  // securebits (the tier `confined`). Both then mean nothing: what exec could grant, no_new_privs refuses.
  bool has_no_capabilities = false;
};

// Drops, for the calling thread: supplementary groups, the capability bounding set, ambient capabilities, group and
// user ids (real, effective, saved, filesystem), all capability sets; locks the securebits so that uid 0 grants nothing
// on exec, and sets no_new_privs. Afterwards checks that nothing is left. 0 or errno; after an error the caller must
// _exit. Async-signal-safe; raw system calls, so that a process with more threads (none of ours) would drop only in
// this one.
[[nodiscard]] int DropTo(const Identity& identity) noexcept;

}  // namespace carrel::sandbox
