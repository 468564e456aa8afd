// The port through which an unprivileged server has jails made and ruled.
//
// A server (carrel-interpreter, carrel-retrieval) never creates a process itself: it asks the jailer, its parent, over
// a socket pair. This header is what it sees of that; sandbox/jailer_client.h is the real one, tests have a fake.
//
// Thread-safety: every method of JailMaker and Jail may be called from any thread.
// Errors: absl::Status is about us and the machine (UNAVAILABLE: no jail can be made, with the layer and the mend;
// RESOURCE_EXHAUSTED; INVALID_ARGUMENT: a limit over the policy's cap). What happens to the jailed code is a value.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::sandbox {

// Fixed when the jail is made. 0 means the policy's default; over the policy's cap is INVALID_ARGUMENT.
struct JailLimits {
  uint64_t memory_bytes = 0;     // of everything in it; over it the kernel kills. A workspace is part of it, but for
                                 // one on disk
  uint64_t processes = 0;        // and threads; over it fork fails with EAGAIN
  uint64_t cpu_millis = 0;       // CPUs at once, in thousandths
  uint64_t workspace_bytes = 0;  // /mnt/data; over it write fails with ENOSPC
  uint64_t workspace_files = 0;  // inodes of /mnt/data; over it creation fails with ENOSPC
  uint64_t tmp_bytes = 0;        // /tmp and /dev/shm, each
  uint64_t open_files = 0;       // descriptors per process; over it EMFILE
  uint64_t cpu_seconds = 0;      // RLIMIT_CPU per process, SIGXCPU; 0 stays "none"

  friend bool operator==(const JailLimits&, const JailLimits&) = default;
};

// When each step of making a jail was over, in microseconds after its request came to the jailer. 0: no such step.
struct SetupTimes {
  uint32_t cgroup_us = 0;   // the group is there, with its limits
  uint32_t init_us = 0;     // the init was cloned into its namespaces, and says so
  uint32_t mounts_us = 0;   // its mounts stand
  uint32_t forked_us = 0;   // the zygote has forked
  uint32_t let_go_us = 0;   // the child may enter
  uint32_t entered_us = 0;  // everything is given up: the jail is shut
};

// What the kernel counts. All of the jail's life so far, every process of it.
struct JailStats {
  bool counted = false;  // false: no cgroup; CPU and memory are the watchdog's, of processes nothing is known
  uint64_t cpu_ns = 0;
  uint64_t memory_bytes = 0;
  uint64_t memory_peak_bytes = 0;
  uint64_t oom_kills = 0;         // processes that the memory limit killed
  uint64_t processes = 0;         // now
  uint64_t process_refusals = 0;  // forks refused by the limit
};

// The end of the jail's first process (the driver, or the program of an exec policy).
struct JailExit {
  int exit_code = 0;  // when signal == 0
  int signal = 0;
  // true: the memory limit (or the watchdog in its stead) killed it.
  bool memory_limit = false;
};

struct WorkspaceEntry {
  std::string path;  // relative to /mnt/data, raw bytes, '/' between parts
  uint64_t size_bytes = 0;
  uint64_t blocks_bytes = 0;  // st_blocks * 512: what a sparse file really holds
  uint64_t inode = 0;
  int64_t modified_ns = 0;  // st_mtim and st_ctim, Unix time
  int64_t changed_ns = 0;
  uint32_t mode = 0;  // the permission bits
  enum class Kind : uint8_t { kRegular, kDirectory, kSymlink, kFifo, kSocket, kDevice } kind = Kind::kRegular;
};

struct WorkspaceListing {
  std::vector<WorkspaceEntry> entries;  // in directory order, directories before what is in them
  // true: the scan stopped at entries_max, depth_max or its deadline, and there is more.
  bool incomplete = false;
  // No block or no inode is free, as the kernel counts them: also what is in files without a name, and in the file
  // system's own tables.
  bool full = false;
};

struct ListOptions {
  uint64_t entries_max = 10'000;
  uint32_t depth_max = 16;
  absl::Duration time_max = absl::Milliseconds(250);
};

struct WriteOptions {
  // true: a file (or planted link) that is there gives way. false: ALREADY_EXISTS.
  bool replace = false;
  // Permission bits; what is beyond 0777 is ignored.
  uint32_t mode = 0644;
  // Unix time; unset: now.
  std::optional<int64_t> modified_ns = std::nullopt;
};

struct OpenedFile {
  UniqueFd fd;  // O_RDONLY, a regular file, checked by fstat
  uint64_t size_bytes = 0;
};

// The jail's /mnt/data, seen from outside. Paths are relative, and are resolved beneath the workspace without following
// links. It outlives the jail's first process, and ends with the Jail.
class Workspace {
 public:
  virtual ~Workspace() = default;
  [[nodiscard]] virtual absl::StatusOr<WorkspaceListing> List(const ListOptions& options) = 0;
  // NOT_FOUND; FAILED_PRECONDITION: not a regular file, or a link in the way.
  [[nodiscard]] virtual absl::StatusOr<OpenedFile> OpenRead(const std::string& path) = 0;
  // Reads `source` (a pipe or file) to its end into a new file that appears under `path` at once and whole.
  // The writing is done inside the jail's cgroup, so its pages count there. Parents are made.
  // ALREADY_EXISTS unless `replace`; RESOURCE_EXHAUSTED when it is full; nothing is left behind on failure.
  [[nodiscard]] virtual absl::StatusOr<WorkspaceEntry> Write(const std::string& path, UniqueFd source,
                                                             const WriteOptions& options) = 0;
  // Makes a directory and its parents, or gives the one there is this mode and time (`replace` means nothing).
  // FAILED_PRECONDITION: there is something else of that name, or a link in the way.
  [[nodiscard]] virtual absl::Status MakeDirectory(const std::string& path, const WriteOptions& options) = 0;
  // false: there was none.
  [[nodiscard]] virtual absl::StatusOr<bool> Remove(const std::string& path) = 0;
};

// One jailed process tree. Destroying it kills everything in it and frees its cgroup and mounts.
class Jail {
 public:
  virtual ~Jail() = default;
  // Set once the first process has ended (never blocks).
  [[nodiscard]] virtual std::optional<JailExit> exit() const = 0;
  // Waits until the first process has ended, or `timeout`.
  [[nodiscard]] virtual std::optional<JailExit> WaitForExit(absl::Duration timeout) = 0;
  // An eventfd that becomes and stays readable when the first process has ended; for poll(2). Owned by the jail.
  [[nodiscard]] virtual int exit_fd() const = 0;
  // SIGINT to the first process. When it returns, the signal is on its way: what is sent to the process afterwards, it
  // reads after the signal.
  [[nodiscard]] virtual absl::Status Interrupt() = 0;
  // SIGINT to everything in it, as a terminal's Ctrl-C: for code that waits for a child with its own SIGINT ignored, as
  // os.system does.
  [[nodiscard]] virtual absl::Status InterruptAll() = 0;
  // SIGKILL to everything in it; the workspace stays readable.
  [[nodiscard]] virtual absl::Status KillAll() = 0;
  [[nodiscard]] virtual absl::StatusOr<JailStats> Stats() = 0;
  [[nodiscard]] virtual Workspace& workspace() = 0;
  // The limits in force, every field set.
  [[nodiscard]] virtual const JailLimits& limits() const = 0;
  [[nodiscard]] virtual SetupTimes setup_times() const { return {}; }
  // Begins what the destructor does, and does not wait for it.
  virtual void BeginEnd() {}
};

struct JailRequest {
  std::string policy;  // a name from JailMaker::policies()
  JailLimits limits;
  // Become descriptors 0, 1, 2 and 3 of the first process. An unset one is /dev/null (3: closed).
  UniqueFd standard_input;
  UniqueFd standard_output;
  UniqueFd standard_error;
  UniqueFd control;
};

struct LayerState {
  std::string name;
  bool active = false;
  std::string detail;
  std::string mend;
};

// What is in force on this machine, found out by doing.
struct JailReport {
  std::string tier;  // "full", "userns"
  std::vector<LayerState> layers;
  // "memory: watchdog" and the like: each layer that the operator allowed to be weaker.
  std::vector<std::string> weakened;

  // Workspaces lie on a disk, and making one can find no room there.
  [[nodiscard]] bool HasDiskWorkspaces() const {
    return std::any_of(layers.begin(), layers.end(),
                       [](const LayerState& layer) { return layer.name == "workspace" && layer.active; });
  }
};

// Whether sessions may be made of a policy, by who asks for one by name.
enum class RuntimeUse : uint32_t {
  kNone,      // it is a program for a server's own use (the document extractor), and no runtime
  kOnDemand,  // a runtime; each session starts when it is asked for
  kPooled,    // a runtime of which a few are kept ready
};

struct PolicyInfo {
  std::string name;
  RuntimeUse runtime = RuntimeUse::kNone;
  JailLimits defaults;
  JailLimits caps;
  // false: its zygote is still starting; Create waits for it.
  bool ready = false;
  // Grows when what its sessions are made of has changed on disk: a jail that was made before is of the old kind.
  uint32_t generation = 0;
};

class JailMaker {
 public:
  virtual ~JailMaker() = default;
  // Blocks until the first process is in the jail, everything dropped, about to run; at most until `deadline`.
  [[nodiscard]] virtual absl::StatusOr<std::unique_ptr<Jail>> Create(JailRequest request, absl::Time deadline) = 0;
  // Whether who makes the jails answers. DEADLINE_EXCEEDED: not until `deadline`; UNAVAILABLE: he is gone.
  [[nodiscard]] virtual absl::Status Check(absl::Time /*deadline*/) { return absl::OkStatus(); }
  [[nodiscard]] virtual JailReport report() const = 0;
  [[nodiscard]] virtual std::vector<PolicyInfo> policies() const = 0;
};

}  // namespace carrel::sandbox
