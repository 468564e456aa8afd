#include "watchdog.h"

#include <sys/vfs.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "confined_processes.h"
#include "sandbox/base/process_info.h"

namespace carrel::sandbox {
namespace {

// What a pipe can hold once a user has 64 MiB in pipes (pipe-user-pages-soft): two pages. Before, it is 64 KiB.
constexpr uint64_t kPipeBytes = 8192;
// The smallest table of descriptors; its pipes are not worth counting.
constexpr uint64_t kSmallTable = 64;
// The kernel's own number where it does not say (net.core.wmem_max).
constexpr uint64_t kSocketBytesUsual = 212992;
// A session that holds this much more than it may grows faster than its processes end.
constexpr uint64_t kHopelessFactor = 2;

// The process and everything below it. Somebody may fork while we look; the next round sees him.
void AddTree(pid_t pid, std::set<pid_t>* found) {
  if (pid <= 0 || !found->insert(pid).second) return;
  // Children hang on the thread that made them.
  std::error_code ended;
  for (const auto& task : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"), ended)) {
    auto children = ReadSmallFile(task.path().string() + "/children");
    if (!children.ok()) continue;
    for (const absl::string_view word : absl::StrSplit(*children, ' ', absl::SkipWhitespace())) {
      pid_t child = 0;
      if (absl::SimpleAtoi(word, &child)) AddTree(child, found);
    }
  }
}

// A process that is ending gives its memory back first. From then on it belongs to root in /proc, and we may not look.
bool HasMemory(pid_t pid) {
  const auto status = ReadSmallFile(absl::StrCat("/proc/", pid, "/status"));
  return status.ok() && status->find("\nVmRSS:") != std::string::npos;
}

// Proportional: what a process shares with its zygote is mostly the zygote's.
void MakeExact(ProcessMemory* process, uint64_t resident_bytes) {
  auto text = ReadSmallFile(absl::StrCat("/proc/", process->pid, "/smaps_rollup"));
  if (!text.ok()) {
    // We may not look: the careful number.
    if (!HasMemory(process->pid)) process->bytes -= resident_bytes;
    return;
  }
  const size_t at = text->find("\nPss:");
  if (at == std::string::npos) return;
  process->bytes -= resident_bytes;
  process->bytes += std::strtoull(text->c_str() + at + 5, nullptr, 10) * 1024;
}

// A sender may double what the kernel allows (setsockopt: SO_SNDBUF).
uint64_t SocketBytes() {
  static const uint64_t bytes = [] {
    uint64_t most = kSocketBytesUsual;
    const auto text = ReadSmallFile("/proc/sys/net/core/wmem_max");
    if (text.ok()) (void)absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &most);
    return 2 * most;
  }();
  return bytes;
}

// In the session's network namespace there are only sockets of its own; those on their way inside others are listed
// too.
uint64_t SocketsBytes(pid_t pid) {
  const auto text = ReadSmallFile(absl::StrCat("/proc/", pid, "/net/unix"));
  if (absl::IsResourceExhausted(text.status())) return uint64_t{1} << 62;  // tens of thousands of them
  if (!text.ok()) return 0;
  const auto lines = static_cast<uint64_t>(std::count(text->begin(), text->end(), '\n'));
  return lines > 1 ? (lines - 1) * SocketBytes() : 0;  // the first is a heading
}

std::optional<ProcessCpu> CpuOf(pid_t pid) {
  const auto text = ReadSmallFile(absl::StrCat("/proc/", pid, "/stat"));
  return text.ok() ? ReadProcessCpu(*text) : std::nullopt;
}

}  // namespace

StatusFacts ReadStatusFacts(std::string_view status) {
  StatusFacts facts;
  const auto number = [](absl::string_view text) {
    uint64_t value = 0;
    const std::vector<absl::string_view> words = absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipWhitespace());
    if (words.empty() || !absl::SimpleAtoi(words[0], &value)) return uint64_t{0};
    return value;
  };
  for (absl::string_view line : absl::StrSplit(absl::string_view(status.data(), status.size()), '\n')) {
    if (absl::ConsumePrefix(&line, "VmRSS:")) {
      facts.resident_bytes = number(line) * 1024;
    } else if (absl::ConsumePrefix(&line, "VmPTE:") || absl::ConsumePrefix(&line, "VmSwap:")) {
      facts.kernel_bytes += number(line) * 1024;
    } else if (absl::ConsumePrefix(&line, "FDSize:")) {
      facts.table_slots = number(line);
      if (facts.table_slots > kSmallTable) facts.kernel_bytes += facts.table_slots * kPipeBytes;
    } else if (absl::ConsumePrefix(&line, "NSpid:")) {
      const std::vector<absl::string_view> pids = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipWhitespace());
      if (!pids.empty() && !absl::SimpleAtoi(pids.back(), &facts.innermost_pid)) facts.innermost_pid = -1;
    }
  }
  return facts;
}

uint64_t SocketBytesOf(pid_t pid, uint64_t table_slots, std::set<std::string>* counted) {
  const std::string path = absl::StrCat("/proc/", pid, "/fd");
  std::error_code error;
  uint64_t sockets = 0, hidden = 0;
  for (auto entry = std::filesystem::directory_iterator(path, error); !error && entry != std::filesystem::end(entry);
       entry.increment(error)) {
    std::error_code failed;
    std::string target = std::filesystem::read_symlink(entry->path(), failed).string();
    // Of another user, who may be looked at from further away only: it could be one.
    if (failed == std::errc::permission_denied) ++hidden;
    if (!target.starts_with("socket:")) continue;
    if (counted->insert(std::move(target)).second) ++sockets;
  }
  if (error == std::errc::permission_denied) hidden = table_slots;
  if (hidden > 0 && HasMemory(pid)) sockets += hidden;
  return sockets * SocketBytes();
}

uint64_t SessionMemory::Total() const {
  uint64_t total = shared_bytes;
  for (const ProcessMemory& process : processes) total += process.bytes;
  return total;
}

SessionMemory MeasureSession(const Session& session, uint64_t enough) {
  SessionMemory memory;
  for (const UniqueFd& fd : session.tmpfs) {
    struct statfs about {};
    if (fd && ::fstatfs(fd.get(), &about) == 0) {
      memory.shared_bytes += (about.f_blocks - about.f_bfree) * static_cast<uint64_t>(about.f_bsize);
    }
  }
  std::set<pid_t> processes;
  if (session.nursery > 0) {
    // The sockets of this network namespace are everybody's: each process's own are counted below.
    auto jailed = JailedBelow(session.nursery);
    if (jailed.ok()) processes.insert(jailed->begin(), jailed->end());
  } else {
    memory.shared_bytes += SocketsBytes(session.init_pid);
    AddTree(session.main_pid, &processes);
    AddTree(session.init_pid, &processes);
    processes.erase(session.init_pid);
    // It waits for those whose parent has ended. Its own work is not the session's.
    if (std::optional<ProcessCpu> init = CpuOf(session.init_pid)) {
      init->own_ns = 0;
      memory.cpu.push_back(*init);
    }
  }
  std::vector<uint64_t> resident;
  std::set<std::string> sockets;
  for (const pid_t pid : processes) {
    if (const std::optional<ProcessCpu> cpu = CpuOf(pid)) memory.cpu.push_back(*cpu);
    const auto text = ReadSmallFile(absl::StrCat("/proc/", pid, "/status"));
    if (!text.ok()) continue;  // it just ended
    const StatusFacts facts = ReadStatusFacts(*text);
    ProcessMemory process{
        .pid = pid, .pid_in_session = facts.innermost_pid, .bytes = facts.resident_bytes + facts.kernel_bytes};
    if (session.nursery > 0) process.bytes += SocketBytesOf(pid, facts.table_slots, &sockets);
    memory.processes.push_back(process);
    resident.push_back(facts.resident_bytes);
  }
  if (memory.Total() < enough) return memory;
  for (size_t i = 0; i < resident.size(); ++i) MakeExact(&memory.processes[i], resident[i]);
  return memory;
}

Victims ChooseVictims(const Session& session, const SessionMemory& memory, uint64_t limit) {
  Victims victims;
  uint64_t left = memory.Total();
  if (left <= limit) return victims;
  if (left > kHopelessFactor * limit) {
    victims.hopeless = true;
    return victims;
  }
  std::vector<ProcessMemory> living;
  for (const ProcessMemory& process : memory.processes) {
    if (session.dying.contains(process.pid)) {
      left -= process.bytes;
    } else {
      living.push_back(process);
    }
  }
  std::sort(living.begin(), living.end(), [&session](const ProcessMemory& a, const ProcessMemory& b) {
    if (a.bytes != b.bytes) return a.bytes > b.bytes;
    return a.pid != session.main_pid && b.pid == session.main_pid;
  });
  for (const ProcessMemory& process : living) {
    if (left <= limit) return victims;
    left -= process.bytes;
    victims.processes.push_back(process);
  }
  victims.hopeless = left > limit;
  return victims;
}

}  // namespace carrel::sandbox
