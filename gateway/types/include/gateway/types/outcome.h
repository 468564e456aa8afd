// How a call of code ended: a value, never an error. The names are those of carrel.interpreter.v1.Outcome.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace carrel::gateway {

// 0: the interpreter's default, or the container's.
struct CodeLimits {
  uint64_t wall_ms = 0;  // of one call, as the next
  uint64_t cpu_ms = 0;
  // Fixed when a container is made, as the next three and cpu_millis.
  uint64_t memory_bytes = 0;
  uint64_t processes = 0;
  uint64_t workspace_bytes = 0;
  uint64_t workspace_files = 0;
  uint64_t output_bytes = 0;
  uint64_t display_bytes = 0;
  uint64_t artifacts = 0;
  uint64_t artifact_bytes = 0;
  uint64_t cpu_millis = 0;      // CPUs at once, in thousandths
  uint64_t session_cpu_ms = 0;  // of all calls together; fixed when a container is made
  friend bool operator==(const CodeLimits&, const CodeLimits&) = default;
};

enum class LimitKind { kWall, kCpu, kMemory, kProcesses, kWorkspace, kOutput, kDisplay, kArtifacts, kSessionCpu };

// "LIMIT_WALL", …: as the contract has it.
[[nodiscard]] std::string_view NameOf(LimitKind limit);

struct CodeUsage {
  uint64_t wall_ms = 0;
  uint64_t cpu_ms = 0;  // 0 where no cgroup counts it
  uint64_t memory_peak_bytes = 0;
  uint64_t stdout_bytes = 0;
  uint64_t stderr_bytes = 0;
  uint64_t display_bytes = 0;
  uint64_t session_cpu_ms = 0;  // of the container so far; 0 where no cgroup counts it
  friend bool operator==(const CodeUsage&, const CodeUsage&) = default;
};

struct CodeException {
  std::string name;
  std::string value;
  std::string traceback;
  friend bool operator==(const CodeException&, const CodeException&) = default;
};

// A file that is not handed out, and why ("symlink", "too large", …).
struct SkippedFile {
  std::string path;
  std::string reason;
  friend bool operator==(const SkippedFile&, const SkippedFile&) = default;
};

struct Outcome {
  enum class Kind {
    kCompleted,
    kRaised,
    kExited,
    kSignalled,
    kTimeLimit,
    kCpuLimit,
    kMemoryLimit,
    kOutputLimit,
    kFileLimit,
    kProcessLimit,
    kDeniedSyscall,
    kCancelled,
    kInternal,
  };

  Kind kind = Kind::kCompleted;
  std::string message;  // one sentence; not for kCompleted
  std::optional<CodeException> exception;
  int exit_code = 0;
  int signal = 0;  // 0: none
  // The limit that ended the call, with its value in the limit's unit.
  std::optional<LimitKind> limit;
  uint64_t limit_value = 0;
  std::vector<LimitKind> limits_touched;  // without ending it
  bool state_kept = true;                 // false: the variables are gone
  CodeUsage usage;
  std::vector<SkippedFile> skipped;
  std::vector<std::string> removed;  // files that the code removed
  std::string isolation;             // "full", "userns" or "confined"
  std::vector<std::string> weakened;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// "COMPLETED", "TIME_LIMIT", …: as the contract has it.
[[nodiscard]] std::string_view NameOf(Outcome::Kind kind);

}  // namespace carrel::gateway
