// Giving up privileges for good, between fork and exec.
#pragma once

namespace carrel::cli {

// For BeforeExec: becomes the user and the group of this number (`uid` points to a uid_t), in no other group, and
// renounces every way to privileges (no_new_privs). Async-signal-safe; 0 or errno.
int BecomeUser(void* uid) noexcept;

}  // namespace carrel::cli
