// The jailer: the parent of one server, and the only process with privileges. See sandbox/README.md for its order of
// operations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/base/child_process.h"
#include "sandbox/policy.h"

namespace carrel::sandbox {

struct JailerOptions {
  enum class TierChoice : uint8_t { kAuto, kFull, kUserns, kConfined };

  std::string server;  // path of the server's executable
  std::vector<std::string> server_arguments;
  // Directories of runtimes and policies; each of their subdirectories with a manifest is one.
  std::vector<std::string> runtimes;
  // What @NAME means in a manifest's binds: "bin" and "share", absolute.
  std::string bin_directory;
  std::string share_directory;
  TierChoice tier = TierChoice::kAuto;
  // Sessions that one zygote forks (they share its hash seed and address layout); then another takes its place.
  // 0: any number.
  uint64_t zygote_forks_max = 10'000;
  // Workspaces are file systems of their own in images below this directory, and no memory. `full` only; ext4 on loop
  // devices, mke2fs. Empty: each is a tmpfs.
  std::string workspace_directory;
  // Sessions' memory is then watched instead of limited.
  bool allow_no_cgroup = false;
  // `full`: the server's uid and gid. Not set: one that nobody else has.
  std::optional<uint32_t> server_uid;
  // `full`: given to the server's uid, with mode 0700, before it starts. Empty: none.
  std::string data_directory;
};

// The policies of `runtimes`, as RunJailer reads them. Errors as of LoadPolicies; INVALID_ARGUMENT: none, or two of one
// name.
[[nodiscard]] absl::StatusOr<std::vector<Policy>> LoadAllPolicies(const JailerOptions& options);

// Whether any of them has sessions with a /proc of their own.
[[nodiscard]] bool NeedsProc(const std::vector<Policy>& policies);

// Runs until the server has ended, or until SIGTERM or SIGINT (which the server gets, with time to end). Gives how the
// server ended. Single-threaded callers only.
// UNAVAILABLE: a layer cannot be set up: "layer: why. mend". INVALID_ARGUMENT: a policy.
[[nodiscard]] absl::StatusOr<ExitStatus> RunJailer(const JailerOptions& options);

}  // namespace carrel::sandbox
