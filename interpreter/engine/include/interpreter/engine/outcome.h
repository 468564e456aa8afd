// What became of a call: a value, never an error. The words are those of carrel.interpreter.v1.Outcome.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace carrel::interpreter {

enum class OutcomeKind : uint8_t {
  kCompleted = 1,
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

enum class LimitName : uint8_t {
  kNone = 0,
  kWall,
  kCpu,
  kMemory,
  kProcesses,
  kWorkspace,
  kOutput,
  kDisplay,
  kArtifacts,
  kSessionCpu,
};

struct ExceptionInfo {
  std::string name;
  std::string value;
  std::string traceback;
};

struct SkippedFile {
  std::string path;    // escaped
  std::string reason;  // one of the contract's words

  friend bool operator==(const SkippedFile&, const SkippedFile&) = default;
};

struct Usage {
  uint64_t wall_ms = 0;
  uint64_t cpu_ms = 0;
  uint64_t session_cpu_ms = 0;
  uint64_t memory_peak_bytes = 0;
  uint64_t stdout_bytes = 0;
  uint64_t stderr_bytes = 0;
  uint64_t display_bytes = 0;
};

struct Outcome {
  OutcomeKind kind = OutcomeKind::kCompleted;
  std::string message;
  ExceptionInfo exception;
  int32_t exit_code = 0;
  int32_t signal = 0;
  LimitName limit = LimitName::kNone;
  uint64_t limit_value = 0;
  std::vector<LimitName> limits_touched;
  bool state_kept = true;
  Usage usage;
  std::vector<SkippedFile> skipped;
  std::vector<std::string> removed;
  std::string isolation;
  std::vector<std::string> weakened;
};

// Media type to data.
struct Display {
  std::map<std::string, std::string> data;
  bool is_result = false;
};

struct Artifact {
  std::string path;
  uint64_t size_bytes = 0;
  std::string media_type;
  std::string sha256;
  std::string content;
};

}  // namespace carrel::interpreter
