#include "cpu_time.h"

#include <unistd.h>

#include <algorithm>

#include "text.h"

namespace carrel::sandbox {
namespace {

// Fields of /proc/PID/stat, counted behind the name (which may hold anything, ')' too): proc(5) numbers them from 3.
constexpr size_t kUtime = 14 - 3, kStime = 15 - 3, kCutime = 16 - 3, kCstime = 17 - 3, kStart = 22 - 3;

}  // namespace

std::optional<ProcessCpu> ReadProcessCpu(std::string_view stat) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  const std::vector<std::string_view> fields = Words(stat.substr(name_end + 1));
  const std::optional<uint64_t> pid = Number(stat.substr(0, stat.find(' ')));
  if (!pid || fields.size() <= kStart) return std::nullopt;
  static const uint64_t tick_ns = 1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  const auto ticks = [&fields](size_t field) { return Number(fields[field]).value_or(0); };
  return ProcessCpu{.pid = static_cast<pid_t>(*pid),
                    .start = ticks(kStart),
                    .own_ns = (ticks(kUtime) + ticks(kStime)) * tick_ns,
                    .children_ns = (ticks(kCutime) + ticks(kCstime)) * tick_ns};
}

void CpuTime::Update(const std::vector<ProcessCpu>& processes) {
  std::map<std::pair<pid_t, uint64_t>, uint64_t> now;
  uint64_t own_ns = 0, children_ns = 0;
  for (const ProcessCpu& process : processes) {
    now[{process.pid, process.start}] = process.own_ns;
    own_ns += process.own_ns;
    children_ns += process.children_ns;
  }
  for (const auto& [process, used_ns] : living_) {
    if (!now.contains(process)) ended_ns_ += used_ns;
  }
  living_ = std::move(now);
  // Each sum lacks something that the other may have: the first those that lived between two looks, the second those
  // that nobody waited for.
  ns_ = std::max({ns_, own_ns + ended_ns_, own_ns + children_ns});
}

}  // namespace carrel::sandbox
