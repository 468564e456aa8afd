#include "support/leftovers.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/time/clock.h"

namespace carrel::testing {
namespace {

namespace fs = std::filesystem;

struct Process {
  pid_t parent = 0;
  std::string name;
  char state = '?';
};

// /proc/PID/stat: "pid (name) state ppid ...", where a name may hold anything.
std::map<pid_t, Process> AllProcesses() {
  std::map<pid_t, Process> processes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "stat");
    std::string stat;
    std::getline(file, stat);
    const size_t open = stat.find('(');
    const size_t close = stat.rfind(')');
    if (open == std::string::npos || close == std::string::npos) continue;
    Process process{.name = stat.substr(open + 1, close - open - 1)};
    std::istringstream(stat.substr(close + 1)) >> process.state >> process.parent;
    processes[static_cast<pid_t>(std::stol(name))] = process;
  }
  return processes;
}

std::vector<pid_t> Below(const std::map<pid_t, Process>& processes, pid_t root) {
  std::vector<pid_t> found;
  std::vector<pid_t> frontier = {root};
  while (!frontier.empty()) {
    const pid_t parent = frontier.back();
    frontier.pop_back();
    for (const auto& [pid, process] : processes) {
      if (process.parent != parent) continue;
      found.push_back(pid);
      frontier.push_back(pid);
    }
  }
  return found;
}

std::set<std::string> CarrelMounts() {
  std::set<std::string> mounts;
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.find("carrel") != std::string::npos) mounts.insert(line);
  }
  return mounts;
}

std::vector<std::string> GroupsOf(pid_t jailer) {
  std::vector<std::string> groups;
  const std::string name = "carrel-" + std::to_string(jailer);
  std::error_code error;
  for (auto entry =
           fs::recursive_directory_iterator("/sys/fs/cgroup", fs::directory_options::skip_permission_denied, error);
       !error && entry != fs::end(entry); entry.increment(error)) {
    if (entry->path().filename() == name) groups.push_back(entry->path());
  }
  return groups;
}

}  // namespace

std::vector<pid_t> Descendants(pid_t root) { return Below(AllProcesses(), root); }

LeftoverWatch::LeftoverWatch() : mounts_(CarrelMounts()) {
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  for (const pid_t pid : Descendants(getpid())) children_.insert(pid);
}

std::string LeftoverWatch::Find(pid_t jailer, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  while (true) {
    std::string found;
    const std::map<pid_t, Process> processes = AllProcesses();
    for (const pid_t pid : Below(processes, getpid())) {
      if (children_.contains(pid)) continue;
      const Process& process = processes.at(pid);
      // An orphan that has ended is ours to reap.
      if (process.state == 'Z' && process.parent == getpid()) {
        waitpid(pid, nullptr, WNOHANG);
        continue;
      }
      found += "process " + std::to_string(pid) + " (" + process.name + ", " + process.state + ")\n";
      if (absl::Now() > deadline) kill(pid, SIGKILL);
    }
    for (const std::string& group : GroupsOf(jailer)) found += "control group " + group + "\n";
    for (const std::string& mount : CarrelMounts()) {
      if (!mounts_.contains(mount)) found += "mount " + mount + "\n";
    }
    if (found.empty() || absl::Now() > deadline) return found;
    absl::SleepFor(absl::Milliseconds(20));
  }
}

}  // namespace carrel::testing
