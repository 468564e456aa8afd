#include "sandbox/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace carrel::sandbox {
namespace {

// The interface as of ABI 6; the headers of the build machine may be older than the kernel that we run on.
// Source: the kernel's Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.
struct RulesetAttributes {
  uint64_t handled_access_fs = 0;
  uint64_t handled_access_net = 0;  // from ABI 4
  uint64_t scoped = 0;              // from ABI 6
};
constexpr int kAbiMax = 6;

constexpr uint64_t kExecute = 1 << 0;
constexpr uint64_t kWriteFile = 1 << 1;
constexpr uint64_t kReadFile = 1 << 2;
constexpr uint64_t kReadDir = 1 << 3;
constexpr uint64_t kRemoveDir = 1 << 4;
constexpr uint64_t kRemoveFile = 1 << 5;
constexpr uint64_t kMakeChar = 1 << 6;
constexpr uint64_t kMakeDir = 1 << 7;
constexpr uint64_t kMakeReg = 1 << 8;
constexpr uint64_t kMakeSock = 1 << 9;
constexpr uint64_t kMakeFifo = 1 << 10;
constexpr uint64_t kMakeBlock = 1 << 11;
constexpr uint64_t kMakeSym = 1 << 12;
constexpr uint64_t kRefer = 1 << 13;     // ABI 2
constexpr uint64_t kTruncate = 1 << 14;  // ABI 3
constexpr uint64_t kIoctlDev = 1 << 15;  // ABI 5

constexpr uint64_t kBindTcp = 1 << 0;  // ABI 4
constexpr uint64_t kConnectTcp = 1 << 1;
constexpr uint64_t kScopeAbstractSocket = 1 << 0;  // ABI 6
constexpr uint64_t kScopeSignal = 1 << 1;

constexpr uint64_t kRead = kReadFile | kReadDir;
// No devices: making one takes a capability that nobody inside has.
constexpr uint64_t kWrite =
    kWriteFile | kRemoveDir | kRemoveFile | kMakeDir | kMakeReg | kMakeSock | kMakeFifo | kMakeSym | kRefer | kTruncate;
// The rights that make sense for something that is not a directory; the kernel refuses the others.
constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

uint64_t HandledBy(int abi) {
  uint64_t handled = kExecute | kRead | kWriteFile | kRemoveDir | kRemoveFile | kMakeChar | kMakeDir | kMakeReg |
                     kMakeSock | kMakeFifo | kMakeBlock | kMakeSym;
  if (abi >= 2) handled |= kRefer;
  if (abi >= 3) handled |= kTruncate;
  if (abi >= 5) handled |= kIoctlDev;
  return handled;
}

size_t SizeFor(int abi) {
  if (abi < 4) return sizeof(uint64_t);
  return abi < 6 ? 2 * sizeof(uint64_t) : sizeof(RulesetAttributes);
}

int AddRule(int ruleset, const LandlockRule& rule, uint64_t handled) {
  const int parent = open(rule.path, O_PATH | O_CLOEXEC);
  if (parent < 0) return errno;
  struct stat status {};
  int error = fstat(parent, &status) == 0 ? 0 : errno;
  if (error == 0) {
    uint64_t allowed = kRead;
    if (rule.write) allowed |= kWrite;
    if (rule.execute) allowed |= kExecute;
    if (!S_ISDIR(status.st_mode)) allowed &= kOfFiles;
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = allowed & handled;
    beneath.parent_fd = parent;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0) error = errno;
  }
  close(parent);
  return error;
}

}  // namespace

int LandlockAbi() noexcept {
  const long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

int RestrictWithLandlock(std::span<const LandlockRule> rules) noexcept {
  const long reported = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (reported < 0) return errno;
  const int abi = std::min(static_cast<int>(reported), kAbiMax);
  const RulesetAttributes attributes{.handled_access_fs = HandledBy(abi),
                                     .handled_access_net = kBindTcp | kConnectTcp,
                                     .scoped = kScopeAbstractSocket | kScopeSignal};
  const long ruleset = syscall(SYS_landlock_create_ruleset, &attributes, SizeFor(abi), 0);
  if (ruleset < 0) return errno;
  int error = 0;
  for (const LandlockRule& rule : rules) {
    error = AddRule(static_cast<int>(ruleset), rule, attributes.handled_access_fs);
    if (error != 0) break;
  }
  if (error == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) error = errno;
  close(static_cast<int>(ruleset));
  return error;
}

}  // namespace carrel::sandbox
