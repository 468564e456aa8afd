// File access limited a second time, by the kernel's Landlock, should a mount slip.
//
// Best effort by what the kernel knows (its ABI): files from 1, moving between directories from 2 (before, every such
// rename fails with EXDEV), truncation from 3, no TCP from 4, device ioctls from 5, and from 6 neither abstract sockets
// nor signals reach outside of the session.
#pragma once

#include <cstdint>
#include <span>

namespace carrel::sandbox {

// One path beneath which something may be done; reading and listing always, and what the flags add.
struct LandlockRule {
  const char* path = nullptr;  // absolute, as seen from inside the jail; must exist
  bool write = false;          // create, change, rename and remove files; connect and make sockets and FIFOs
  bool execute = false;
};

// 0: this kernel has no Landlock, or it is switched off.
[[nodiscard]] int LandlockAbi() noexcept;

// Restricts the calling thread and its children to be to the rules, for good. no_new_privs must be set.
// 0 or errno; ENOSYS or EOPNOTSUPP: LandlockAbi() is 0. Async-signal-safe.
[[nodiscard]] int RestrictWithLandlock(std::span<const LandlockRule> rules) noexcept;

}  // namespace carrel::sandbox
