// What a kind of jail is: the files it sees, what runs in it, its calls and its limits. Data, read from a directory:
//
//     share/carrel/runtimes/<name>/manifest     (or policies/<name>/manifest: a program that is not for users)
//
// A manifest is lines of `key value  # reason`; empty lines and lines that begin with # are free. Keys:
//
//     name NAME                    must be the directory's name: [a-z0-9-], at most 32
//     description TEXT             version TEXT          package NAME VERSION
//     runtime pooled | on-demand   sessions are made of it, and its command speaks interpreter/driver/frames.py
//                                  (pooled: a few are kept ready). Without it, it is a server's own and no session's
//     kind zygote | exec           zygote: `command` is a process that forks sessions; exec: each session executes it
//     bind SOURCE TARGET           # reason; read-only. SOURCE: absolute, relative to the manifest, or @PLACE[/...]
//     bind-optional SOURCE TARGET  # reason; skipped when SOURCE does not exist
//     command ARGV...              split at spaces; as seen from inside
//     env NAME=VALUE               the whole environment; nothing is inherited
//     syscalls FILE                beside the manifest
//     proc private | none          none: /proc is an empty directory that nobody can write. For containers that mask
//                                  parts of theirs, where the kernel lets nobody mount one. Default: private
//     landlock read|execute|write PATH     # reason; as seen from inside; write and execute include read
//     default LIMIT N              cap LIMIT N           LIMIT: a field of JailLimits; every field but cpu_seconds
//
// An unknown key, a missing one (all but runtime, proc, package and env must be there), or one given twice is an error
// with file:line.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/jail.h"
#include "sandbox/seccomp.h"

namespace carrel::sandbox {

struct Bind {
  std::string source;  // absolute, on the host
  std::string target;  // absolute, inside
  bool optional = false;
};

struct PathRule {
  std::string path;
  bool write = false;
  bool execute = false;
};

struct PolicyPackage {
  std::string name;
  std::string version;
};

struct Policy {
  enum class Kind : uint8_t { kZygote, kExec };

  std::string directory;  // of the manifest, absolute
  std::string name;
  std::string description;
  std::string version;
  Kind kind = Kind::kExec;
  RuntimeUse runtime = RuntimeUse::kNone;
  std::vector<Bind> binds;  // in the order of the file
  std::vector<std::string> command;
  std::vector<std::string> env;  // "NAME=VALUE"
  SyscallPolicy syscalls;
  bool empty_proc = false;
  std::vector<PathRule> landlock;
  std::vector<PolicyPackage> packages;
  JailLimits defaults;
  JailLimits caps;
  // Not of the file: the jailer says so where there is no memory cgroup. What the watchdog could not count is then
  // refused (src/uncounted_memory.cc).
  bool memory_is_watched = false;
  // Not of the file either: sessions have no namespaces, the paths are the host's (src/confined_policy.h), and Landlock
  // must be there.
  bool is_confined = false;
};

struct PolicyOptions {
  // What @NAME stands for in a bind's source: an absolute directory ("bin": where our executables are).
  std::map<std::string, std::string> places;
  // Manifest, syscalls file and their directory must belong to root or to this user, and be writable by nobody else.
  // The jailer passes its own user.
  uid_t owner = 0;
};

// INVALID_ARGUMENT "file:line: what"; PERMISSION_DENIED: somebody else could have written it; NOT_FOUND.
[[nodiscard]] absl::StatusOr<Policy> LoadPolicy(const std::string& directory, const PolicyOptions& options);

// Every directory below `directory` that has a manifest, by name. One bad policy is an error of all.
[[nodiscard]] absl::StatusOr<std::vector<Policy>> LoadPolicies(const std::string& directory,
                                                               const PolicyOptions& options);

// The limits that a request means: its own where given, else the policy's. INVALID_ARGUMENT: over the cap.
[[nodiscard]] absl::StatusOr<JailLimits> EffectiveLimits(const Policy& policy, const JailLimits& requested);

}  // namespace carrel::sandbox
