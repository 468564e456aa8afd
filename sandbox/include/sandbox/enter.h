// The last steps of a process into its jail, taken by the process itself: everything that it gives up, in order.
//
// Two kinds of process come here: a child of the session's init, which then executes a program, and a child of a
// zygote, which goes on as it is. Both were forked by a process of ours and have not seen a byte of the user's.
//
// EnterJail runs between fork and exec: it is async-signal-safe, allocates nothing, and works on an EnterPlan that was
// made before the fork.
#pragma once

#include <linux/filter.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/identity.h"
#include "sandbox/landlock.h"
#include "sandbox/policy.h"
#include "sandbox/rlimits.h"

namespace carrel::sandbox {

// Where it failed. The order is the order of the steps.
enum class EnterStage : uint32_t {
  kNone = 0,
  kGate,           // the jailer did not let us go on
  kCgroup,         // into the session's
  kNamespaces,     // setns into the session's
  kDescriptors,    // 0 to 3, and no other
  kDirectory,      // chdir("/mnt/data"), a session of its own, umask
  kOomScore,       // first to be killed when the machine is out of memory
  kUserNamespace,  // one of the session's own, where all sessions share a uid
  kRlimits,
  kIdentity,  // uid, gid, groups, capabilities, no_new_privs
  kLandlock,
  kSeccomp,
  kExec,
};

[[nodiscard]] const char* EnterStageName(EnterStage stage) noexcept;

// What a process sends through its gate when it could not enter. It sends nothing when it could: the gate closes.
struct EnterReport {
  EnterStage stage = EnterStage::kNone;
  int32_t error = 0;  // errno
};

// What is the same for every session of a policy. Movable; the spans stay valid when it is moved.
class [[nodiscard]] EnterPlan final {
 public:
  // Compiles the filter. INVALID_ARGUMENT, RESOURCE_EXHAUSTED as CompileSyscallPolicy.
  [[nodiscard]] static absl::StatusOr<EnterPlan> FromPolicy(const Policy& policy);
  // The plan as a sealed memory file, and back: how it reaches a zygote, which is another program.
  [[nodiscard]] absl::StatusOr<UniqueFd> ToMemfd() const;
  [[nodiscard]] static absl::StatusOr<EnterPlan> FromMemfd(int fd);

  [[nodiscard]] std::span<const sock_filter> filter() const { return filter_; }
  // Empty: the kernel has no Landlock, or the policy has no rules.
  [[nodiscard]] std::span<const LandlockRule> landlock() const { return rules_; }

 private:
  EnterPlan() = default;
  void PointRules();

  struct StoredRule {
    std::string path;
    bool write = false;
    bool execute = false;
  };
  std::vector<sock_filter> filter_;
  std::unique_ptr<std::vector<StoredRule>> stored_;  // behind a pointer: rules_ points into its strings
  std::vector<LandlockRule> rules_;
};

struct EnterRequest {
  Identity identity;
  Rlimits rlimits;
  // Become 0, 1, 2, 3. The first three must be given; the last may be -1, then 3 is closed.
  std::array<int, 4> stdio{-1, -1, -1, -1};
  // `userns`: all sessions have one uid, and the kernel counts RLIMIT_NPROC and its like by user namespace and uid. A
  // user namespace around the program makes the counts its own.
  bool own_user_namespace = false;
  // The descriptor on which a failure is reported. Stays open, as descriptor 4 and close-on-exec: close it
  // (kEnterGateFd) or exec when all is done. -1: none.
  int gate = -1;
  // A /proc to find oneself in, where the session has none. Closed on the way. -1: the session's own.
  int proc = -1;
};

inline constexpr int kEnterGateFd = 4;

// Puts the calling process into the jail, from kDescriptors to kSeccomp. It must be in the session's namespaces
// already. Afterwards it has exactly the descriptors 0 to 3, and the gate. On failure the report says where; the caller
// must send it (ReportAndExit) and end: the process is neither in nor out.
[[nodiscard]] EnterReport EnterJail(const EnterPlan& plan, const EnterRequest& request) noexcept;

// Sends the report through `gate` (if any) and ends the process.
[[noreturn]] void ReportAndExit(int gate, const EnterReport& report) noexcept;

}  // namespace carrel::sandbox
