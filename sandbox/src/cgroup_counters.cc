#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>

#include "sandbox/cgroup.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

// The largest of the files (cpu.stat of v2) has some 20 short lines.
using Buffer = std::array<char, 4096>;

// Empty: the group is gone (ENODEV).
std::string_view ReadCounter(const UniqueFd& file, Buffer* buffer) {
  ssize_t got;
  do {
    got = pread(file.get(), buffer->data(), buffer->size(), 0);
  } while (got < 0 && errno == EINTR);
  return {buffer->data(), static_cast<size_t>(std::max<ssize_t>(got, 0))};
}

uint64_t AfterKey(std::string_view text, std::string_view key) {
  for (const std::string_view line : Split(text, '\n')) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
      return Number(Strip(line.substr(key.size() + 1))).value_or(0);
    }
  }
  return 0;
}

}  // namespace

absl::StatusOr<JailStats> CgroupCounters::Read() const {
  Buffer buffer;
  const auto number = [&](File file) { return Number(Strip(ReadCounter(files_[file], &buffer))); };
  const std::optional<uint64_t> memory = number(kMemory);
  if (!memory) return absl::FailedPreconditionError("the control group is gone");
  JailStats stats{.counted = true, .memory_bytes = *memory};
  stats.memory_peak_bytes = std::max(number(kMemoryPeak).value_or(0), *memory);
  stats.cpu_ns =
      cpu_is_unified_ ? AfterKey(ReadCounter(files_[kCpu], &buffer), "usage_usec") * 1000 : number(kCpu).value_or(0);
  stats.oom_kills = AfterKey(ReadCounter(files_[kMemoryEvents], &buffer), "oom_kill");
  stats.processes = number(kPids).value_or(0);
  stats.process_refusals = AfterKey(ReadCounter(files_[kPidsEvents], &buffer), "max");
  return stats;
}

}  // namespace carrel::sandbox
