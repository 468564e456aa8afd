// The last wall: which system calls the jailed code may make.
//
// A policy is a text file, one rule a line, each with its reason:
//
//     default errno ENOSYS                                # what no rule names
//     allow read                                          # pipes and files
//     allow socket if a0.lo == AF_UNIX                    # sockets inside the session
//     errno EPERM socket                                  # every other family
//     kill vmsplice                                       # ...
//
// Rules of one call are tried in the order of the file; the first whose condition holds decides, so that a rule without
// a condition must be the last of its call; a call whose conditions all fail gets the default. A condition is
// `aN OP VALUE`, joined by `and`; `aN` is the whole 64-bit argument, `aN.lo` its low 32 bits, which is all the kernel
// looks at where the parameter is an int (comparing the whole would be bypassed by setting bit 32). OP is `==`, `!=` or
// `& MASK ==`. A value is a number or names known to seccomp_constants.cc, joined by `|`.
// Another architecture than the native one, and x32, are always killed.
//
// We assemble the BPF ourselves, because libseccomp cannot say "otherwise" for a call whose arguments are tested more
// than once; libseccomp gives the numbers of the names.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace carrel::sandbox {

struct SyscallCondition {
  uint32_t argument = 0;  // 0 to 5
  bool low_word = false;  // compares the low 32 bits only
  uint64_t mask = ~uint64_t{0};
  bool equal = true;  // false: holds when (argument & mask) != value
  uint64_t value = 0;
};

struct SyscallAction {
  enum class Kind : uint8_t { kAllow, kErrno, kKill } kind = Kind::kKill;
  int error = 0;  // of kErrno
};

struct SyscallRule {
  std::string name;
  // The call's number, or -1: this architecture does not have it, and the rule has no effect.
  int number = -1;
  SyscallAction action;
  std::vector<SyscallCondition> conditions;  // all must hold; none: always
  std::string reason;
  int line = 0;
};

struct SyscallPolicy {
  std::string name;  // of the file, for messages
  SyscallAction otherwise{SyscallAction::Kind::kErrno, 38};
  std::vector<SyscallRule> rules;
};

// INVALID_ARGUMENT with "name:line: what": an unknown call, error or constant; a rule without a reason; a duplicate; a
// rule after one without a condition; no default.
[[nodiscard]] absl::StatusOr<SyscallPolicy> ParseSyscallPolicy(std::string_view text, std::string_view name);

// The program for the native architecture. Deterministic. RESOURCE_EXHAUSTED: more instructions than the kernel takes.
[[nodiscard]] absl::StatusOr<std::vector<sock_filter>> CompileSyscallPolicy(const SyscallPolicy& policy);

// What the policy says about one call with these six arguments: the meaning that the program must have. For tests.
[[nodiscard]] SyscallAction DecideSyscall(const SyscallPolicy& policy, int number, std::span<const uint64_t, 6> args);

// Loads the program for the calling thread (and its children to be). no_new_privs must be set. 0 or errno.
// Async-signal-safe.
[[nodiscard]] int LoadFilter(std::span<const sock_filter> program) noexcept;

}  // namespace carrel::sandbox
