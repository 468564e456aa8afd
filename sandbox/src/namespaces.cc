#include "namespaces.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "sandbox/base/process_info.h"

namespace carrel::sandbox {
namespace {

constexpr int kCapabilitiesMax = 63;

using CapabilityData = std::array<__user_cap_data_struct, 2>;

int GetCapabilities(CapabilityData* data) noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return ::syscall(SYS_capget, &header, data->data()) == 0 ? 0 : errno;
}

int SetCapabilities(const CapabilityData& data) noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return ::syscall(SYS_capset, &header, data.data()) == 0 ? 0 : errno;
}

}  // namespace

pid_t ForkInto(int namespace_flags) noexcept {
  // glibc keeps the thread's id at this address, and the kernel renews it in the child when told to; without it,
  // affinity and clocks of the child's thread would be somebody else's.
  int* tid_address = nullptr;
  unsigned long flags = static_cast<unsigned>(namespace_flags) | SIGCHLD;
  if (::prctl(PR_GET_TID_ADDRESS, &tid_address) == 0 && tid_address != nullptr) {
    flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  }
#if defined(__x86_64__)
  return static_cast<pid_t>(::syscall(SYS_clone, flags, nullptr, nullptr, tid_address, 0UL));
#else
  return static_cast<pid_t>(::syscall(SYS_clone, flags, nullptr, nullptr, 0UL, tid_address));
#endif
}

absl::Status WriteIdMaps(pid_t pid, const IdRange& range, bool deny_setgroups) {
  const std::string directory = absl::StrCat("/proc/", pid, "/");
  if (deny_setgroups) {
    if (absl::Status s = WriteExistingFile(directory + "setgroups", "deny"); !s.ok()) return s;
  }
  const std::string uids = absl::StrCat(range.inside, " ", range.host_uid, " ", range.count, "\n");
  const std::string gids = absl::StrCat(range.inside, " ", range.host_gid, " ", range.count, "\n");
  if (absl::Status s = WriteExistingFile(directory + "uid_map", uids); !s.ok()) return s;
  return WriteExistingFile(directory + "gid_map", gids);
}

int KeepCapabilitiesOverExec() noexcept {
  CapabilityData data{};
  if (const int error = GetCapabilities(&data); error != 0) return error;
  for (auto& word : data) word.inheritable = word.permitted;
  if (const int error = SetCapabilities(data); error != 0) return error;
  for (int cap = 0; cap <= kCapabilitiesMax; ++cap) {
    const uint32_t bit = 1U << (cap % 32);
    if ((data[static_cast<size_t>(cap / 32)].permitted & bit) == 0) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) return errno;
  }
  return 0;
}

int KeepOnlyCapabilities(uint64_t keep) noexcept {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  for (int cap = 0; cap <= kCapabilitiesMax; ++cap) {
    if ((keep >> cap & 1) != 0) continue;
    // EINVAL: this kernel has no such capability.
    if (::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EINVAL) return errno;
  }
  CapabilityData data{};
  if (const int error = GetCapabilities(&data); error != 0) return error;
  for (size_t i = 0; i < data.size(); ++i) {
    const auto mask = static_cast<uint32_t>(keep >> (32 * i));
    data[i].permitted &= mask;
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  return SetCapabilities(data);
}

}  // namespace carrel::sandbox
