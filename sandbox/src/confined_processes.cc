#include "confined_processes.h"

#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "sandbox/base/error.h"
#include "sandbox/base/process_info.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

constexpr timespec kBetweenLooks{.tv_sec = 0, .tv_nsec = 1'000'000};

struct Facts {
  pid_t parent = 0;
  uint64_t filters = 0;
  bool zombie = false;
};

std::string_view Field(std::string_view status, std::string_view name) {
  const size_t at = status.find(name);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = status.substr(at + name.size());
  return Strip(rest.substr(0, rest.find('\n')));
}

absl::StatusOr<Facts> ReadFacts(const std::string& process) {
  auto text = ReadSmallFile(Concat("/proc/", process, "/status"));
  if (!text.ok()) return text.status();
  Facts facts;
  facts.parent = static_cast<pid_t>(Number(Field(*text, "\nPPid:")).value_or(0));
  const auto filters = Number(Field(*text, "\nSeccomp_filters:"));
  if (!filters) return absl::UnavailableError("/proc/PID/status counts no Seccomp_filters (Linux 5.9 or newer)");
  facts.filters = *filters;
  facts.zombie = Field(*text, "\nState:").starts_with('Z');
  return facts;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

absl::StatusOr<std::vector<pid_t>> JailedBelow(pid_t top) {
  auto own = ReadFacts("self");
  if (!own.ok()) return absl::UnavailableError(own.status().message());
  const std::unique_ptr<DIR, CloseDirectory> listing(::opendir("/proc"));
  if (!listing) return absl::UnavailableError(ErrnoStatus(errno, "/proc").message());
  std::map<pid_t, Facts> all;
  while (const dirent* entry = ::readdir(listing.get())) {
    const auto pid = Number(entry->d_name);
    if (!pid) continue;
    auto facts = ReadFacts(entry->d_name);
    if (facts.ok()) all.emplace(static_cast<pid_t>(*pid), *facts);  // else it just ended
  }
  std::vector<pid_t> jailed;
  for (const auto& [pid, facts] : all) {
    if (facts.zombie || facts.filters <= own->filters) continue;
    pid_t above = facts.parent;
    while (above != top && above > 1) {
      const auto parent = all.find(above);
      if (parent == all.end()) return absl::UnavailableError("a process changes its parent");
      above = parent->second.parent;
    }
    if (above == top) jailed.push_back(pid);
  }
  return jailed;
}

uint64_t TasksOfUser(uid_t user) {
  uint64_t tasks = 0;
  const std::unique_ptr<DIR, CloseDirectory> listing(::opendir("/proc"));
  while (const dirent* entry = listing ? ::readdir(listing.get()) : nullptr) {
    if (!Number(entry->d_name)) continue;
    const auto text = ReadSmallFile(Concat("/proc/", entry->d_name, "/status"));
    if (!text.ok() || !Field(*text, "\nUid:").starts_with(Concat(user, "\t"))) continue;
    tasks += Number(Field(*text, "\nThreads:")).value_or(1);
  }
  return tasks;
}

absl::StatusOr<bool> SignalJailedBelow(pid_t top, int signal) {
  auto jailed = JailedBelow(top);
  if (!jailed.ok()) return jailed.status();
  for (const pid_t pid : *jailed) ::kill(pid, signal);  // ESRCH: it ended by itself
  return jailed->empty();
}

bool KillJailedBelow(pid_t top, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    // Stopped first: who forks as fast as we kill does neither any more.
    (void)SignalJailedBelow(top, SIGSTOP);
    const auto nobody = SignalJailedBelow(top, SIGKILL);
    if (nobody.ok() && *nobody) return true;
    ::nanosleep(&kBetweenLooks, nullptr);
  }
  return false;
}

}  // namespace carrel::sandbox
