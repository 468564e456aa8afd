#include "sandbox/identity.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace carrel::sandbox {
namespace {

// More capabilities than this the kernel's interface (two 32-bit words) cannot name.
constexpr int kCapabilitiesMax = 64;

// uid 0 means nothing on exec, capabilities do not survive a change of uid, none can be made ambient; all for good.
constexpr unsigned long kSecurebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                      SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED |
                                      SECBIT_NO_SETUID_FIXUP_LOCKED;

using CapabilityWords = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

bool HasAny(const CapabilityWords& words) {
  for (const __user_cap_data_struct& word : words) {
    if ((word.effective | word.permitted | word.inheritable) != 0) return true;
  }
  return false;
}

int ReadCapabilities(CapabilityWords& words) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  return syscall(SYS_capget, &header, words.data()) == 0 ? 0 : errno;
}

int DropGroups(const Identity& identity) {
  if (syscall(SYS_setgroups, 0, nullptr) == 0) return 0;
  if (errno == EPERM && identity.groups_are_fixed) return 0;
  // None to drop is as good.
  const int error = errno;
  return syscall(SYS_getgroups, 0, nullptr) == 0 ? 0 : error;
}

int DropBoundingSet() {
  for (int capability = 0; capability < kCapabilitiesMax; ++capability) {
    const int in_set = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (in_set < 0) return 0;  // beyond the last one that the kernel knows
    if (in_set == 1 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return errno;
  }
  return 0;
}

int Verify(const Identity& identity) {
  if (identity.has_no_capabilities && identity.uid == 0) return EPERM;
  std::array<uid_t, 3> uids{};
  std::array<gid_t, 3> gids{};
  if (syscall(SYS_getresuid, &uids[0], &uids[1], &uids[2]) != 0) return errno;
  if (syscall(SYS_getresgid, &gids[0], &gids[1], &gids[2]) != 0) return errno;
  for (const uid_t uid : uids) {
    if (uid != identity.uid) return EPERM;
  }
  for (const gid_t gid : gids) {
    if (gid != identity.gid) return EPERM;
  }
  CapabilityWords words{};
  if (const int error = ReadCapabilities(words); error != 0) return error;
  if (HasAny(words)) return EPERM;
  for (int capability = 0; capability < kCapabilitiesMax && !identity.has_no_capabilities; ++capability) {
    const int in_set = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (in_set < 0) break;
    if (in_set != 0) return EPERM;
  }
  return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : EPERM;
}

}  // namespace

int DropTo(const Identity& identity) noexcept {
  if (const int error = DropGroups(identity); error != 0) return error;
  // Bounding set and securebits take CAP_SETPCAP, which the change of uid below takes away.
  if (!identity.has_no_capabilities) {
    if (const int error = DropBoundingSet(); error != 0) return error;
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  if (!identity.has_no_capabilities && prctl(PR_SET_SECUREBITS, kSecurebits, 0, 0, 0) != 0) return errno;
  if (syscall(SYS_setresgid, identity.gid, identity.gid, identity.gid) != 0) return errno;
  if (syscall(SYS_setresuid, identity.uid, identity.uid, identity.uid) != 0) return errno;
  // Where the uid did not change (uid 0 of a user namespace, or one's own) the sets are still full.
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const CapabilityWords none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) return errno;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return Verify(identity);
}

}  // namespace carrel::sandbox
