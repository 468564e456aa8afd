#include "sandbox/usable_resources.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgroup_files.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

// The number in a file; nullopt: no such file, or no number ("max", "-1").
std::optional<uint64_t> LimitIn(const std::string& directory, std::string_view file) {
  const absl::StatusOr<std::string> text = ReadGroupFile(directory, file);
  return text.ok() ? Number(Strip(*text)) : std::nullopt;
}

std::optional<uint64_t> MemoryLimit(const CgroupPlace& group) {
  if (group.unified) return LimitIn(group.directory, "memory.max");
  std::optional<uint64_t> limit = LimitIn(group.directory, "memory.limit_in_bytes");
  // Of the groups above too, where a container does not show them.
  const uint64_t hierarchical = GroupNumber(group.directory, "memory.stat", "hierarchical_memory_limit");
  if (hierarchical > 0) limit = std::min(limit.value_or(hierarchical), hierarchical);
  return limit;
}

// In whole CPUs, rounded up.
std::optional<uint64_t> CpuQuota(const CgroupPlace& group) {
  std::optional<uint64_t> quota, period;
  if (group.unified) {
    const absl::StatusOr<std::string> text = ReadGroupFile(group.directory, "cpu.max");
    const std::vector<std::string_view> words = text.ok() ? Words(*text) : std::vector<std::string_view>();
    if (words.size() != 2) return std::nullopt;
    quota = Number(words[0]);
    period = Number(words[1]);
  } else {
    quota = LimitIn(group.directory, "cpu.cfs_quota_us");
    period = LimitIn(group.directory, "cpu.cfs_period_us");
  }
  if (!quota || period.value_or(0) == 0) return std::nullopt;
  return std::max<uint64_t>(1, *quota / *period + (*quota % *period == 0 ? 0 : 1));
}

}  // namespace

uint64_t UsableMemoryBytes(const CgroupOptions& options) {
  uint64_t bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  for (const CgroupPlace& group : FindGroupsUpwards(options, "memory")) {
    bytes = std::min(bytes, MemoryLimit(group).value_or(bytes));
  }
  return bytes;
}

uint32_t UsableCpus(const CgroupOptions& options) {
  cpu_set_t set;
  // It fails where there are more CPUs than the set has places for.
  const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
  auto cpus = static_cast<uint64_t>(known ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN));
  for (const CgroupPlace& group : FindGroupsUpwards(options, "cpu")) {
    cpus = std::min(cpus, CpuQuota(group).value_or(cpus));
  }
  return static_cast<uint32_t>(std::max<uint64_t>(1, cpus));
}

}  // namespace carrel::sandbox
