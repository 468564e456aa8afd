#include "become_user.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>

namespace carrel::cli {

int BecomeUser(void* uid) noexcept {
  const uid_t user = *static_cast<uid_t*>(uid);
  // The system calls themselves: the C library's versions signal every thread, of which a forked child has but one, and
  // are not async-signal-safe.
  if (::syscall(SYS_setgroups, 0, nullptr) != 0) return errno;
  if (::syscall(SYS_setresgid, user, user, user) != 0) return errno;
  if (::syscall(SYS_setresuid, user, user, user) != 0) return errno;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return 0;
}

}  // namespace carrel::cli
