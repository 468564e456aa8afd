#include "bench_soak.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "sandbox/base/process_info.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace fs = std::filesystem;
namespace v1 = carrel::interpreter::v1;

constexpr uint32_t kAtOnce = 4;
// Looks at the memory while it soaks.
constexpr uint32_t kLooks = 10;
// What allocators and thread pools take until they have seen everything once.
constexpr uint64_t kGrowthMax = 48ull << 20;

// A program, and what must become of it.
struct Case {
  std::string_view code;
  v1::OutcomeKind kind;
  uint64_t wall_ms = 0;
};

constexpr std::array<Case, 8> kExecutions = {{
    {"print('x' * 10)", v1::COMPLETED},
    {"1 / 0", v1::RAISED},
    {"open('/mnt/data/f', 'wb').write(b'x' * 1000000)", v1::COMPLETED},
    {"import subprocess; subprocess.Popen(['sleep', '600'])", v1::COMPLETED},
    {"import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.execvp('sleep', ['sleep', "
     "'600'])\n"
     "    os._exit(0)",
     v1::COMPLETED},
    {"import numpy as np; float(np.ones((300, 300)).sum())", v1::COMPLETED},
    {"print('y' * 3000000)", v1::COMPLETED},
    {"import socket; s = [socket.socketpair() for _ in range(50)]", v1::COMPLETED},
}};

constexpr std::array<Case, 5> kKills = {{
    {"import os; os.kill(os.getpid(), 9)", v1::SIGNALLED},
    {"import os; os.abort()", v1::SIGNALLED},
    {"import os; os._exit(7)", v1::EXITED},
    {"while True: pass", v1::TIME_LIMIT, 20},
    {"import os\nfor _ in range(3):\n    if os.fork() == 0:\n        while True: pass\nos.kill(os.getpid(), 9)",
     v1::SIGNALLED},
}};

// What is there, by name: equal before and after.
struct Inventory {
  std::map<std::string, uint64_t> counts;
  uint64_t memory_bytes = 0;  // of our own processes
};

std::string NameOfProcess(pid_t pid) {
  std::ifstream file(StrCat("/proc/", pid, "/comm"));
  std::string name;
  std::getline(file, name);
  return name;
}

std::map<pid_t, std::vector<pid_t>> Children() {
  std::map<pid_t, std::vector<pid_t>> children;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    const auto stat = ReadSmallFile(StrCat("/proc/", pid, "/stat"));
    if (!stat.ok()) continue;
    // After the last ')': state, parent.
    std::istringstream rest(stat->substr(std::min(stat->size(), stat->rfind(')') + 1)));
    std::string state;
    int parent = 0;
    if (rest >> state >> parent) children[parent].push_back(pid);
  }
  return children;
}

std::vector<pid_t> FamilyOf(pid_t root) {
  const auto children = Children();
  std::vector<pid_t> family{root};
  for (size_t i = 0; i < family.size(); ++i) {
    const auto found = children.find(family[i]);
    if (found != children.end()) family.insert(family.end(), found->second.begin(), found->second.end());
  }
  return family;
}

uint64_t CountEntries(const std::string& directory) {
  uint64_t count = 0;
  std::error_code error;
  for (auto entry = fs::directory_iterator(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    ++count;
  }
  return count;
}

uint64_t CountLines(const std::string& path) {
  std::ifstream file(path);
  return static_cast<uint64_t>(
      std::count(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>(), '\n'));
}

// Proportional, in bytes.
uint64_t MemoryOf(pid_t pid) {
  std::ifstream file(StrCat("/proc/", pid, "/smaps_rollup"));
  std::string word;
  while (file >> word) {
    uint64_t kib = 0;
    if (word == "Pss:" && file >> kib) return kib << 10;
  }
  return 0;
}

// Resident, in bytes.
uint64_t ResidentOf(pid_t pid) {
  std::ifstream file(StrCat("/proc/", pid, "/statm"));
  uint64_t pages = 0;
  uint64_t resident = 0;
  file >> pages >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Resident memory of what lasts, by name: of the zygotes the largest, for each is replaced after a while.
std::map<std::string, uint64_t> TakeMemory(pid_t jailer) {
  std::map<std::string, uint64_t> memory;
  const auto children = Children();
  const auto add = [&memory](const std::string& name, pid_t pid) {
    memory[name] = std::max(memory[name], ResidentOf(pid));
  };
  for (const pid_t pid : FamilyOf(jailer)) {
    const std::string name = NameOfProcess(pid);
    if (name == "carrel-jailer" || name == "carrel-interpre") add(name, pid);
    if (name != "carrel-nursery") continue;
    add(name, pid);
    const auto below = children.find(pid);
    if (below == children.end()) continue;
    for (const pid_t child : below->second) {
      if (NameOfProcess(child) == "python3") add("zygote", child);
    }
  }
  return memory;
}

uint64_t CountGroups(pid_t jailer) {
  uint64_t count = 0;
  std::error_code error;
  const std::string name = StrCat("carrel-", jailer);
  for (auto entry =
           fs::recursive_directory_iterator("/sys/fs/cgroup", fs::directory_options::skip_permission_denied, error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->path().parent_path().filename() == name && entry->is_directory(error)) ++count;
  }
  return count;
}

Inventory TakeInventory(pid_t jailer, const std::string& directory) {
  Inventory inventory;
  for (const pid_t pid : FamilyOf(jailer)) {
    const std::string name = NameOfProcess(pid);
    ++inventory.counts["processes " + name];
    if (name == "carrel-init" || pid == ::getpid()) continue;
    // Not of the pool's members, whose number is the processes' number.
    if (name == "carrel-jailer" || name == "carrel-interpre" || name == "carrel-nursery") {
      inventory.counts["descriptors of " + name] += CountEntries(StrCat("/proc/", pid, "/fd"));
      inventory.memory_bytes += MemoryOf(pid);
    }
    if (name == "carrel-nursery" || name == "carrel-jailer") {
      inventory.counts["mounts of " + name] = CountLines(StrCat("/proc/", pid, "/mountinfo"));
    }
  }
  inventory.counts["control groups"] = CountGroups(jailer);
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(directory, error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    ++inventory.counts["files of the server"];
  }
  return inventory;
}

class Soaking final {
 public:
  Soaking(BenchTarget& target, const BenchOptions& options, Console& console)
      : target_(target), options_(options), console_(console) {}

  ExitCode Run() {
    if (target_.jailer_pid() < 0) {
      console_.Say("a soak wants a server of its own: leave --server out");
      return ExitCode::kUsage;
    }
    const uint32_t warm = std::max(kAtOnce * 4, options_.soak / 10);
    Phase("warming up", warm, options_.kills / 10);
    const Inventory before = Settle();
    Phase("soaking", options_.soak, options_.kills);
    const Inventory after = Settle();
    Report(before, after);
    return wrong_.empty() ? ExitCode::kOk : ExitCode::kInternal;
  }

 private:
  void Phase(std::string_view name, uint32_t executions, uint32_t kills) {
    const uint32_t total = executions + kills;
    std::atomic<uint32_t> next = 0;
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < kAtOnce; ++i) {
      threads.emplace_back([&] {
        for (uint32_t n = next++; n < total; n = next++) {
          // The kills are spread evenly among the executions.
          const bool kill = uint64_t{n + 1} * kills / total != uint64_t{n} * kills / total;
          if (kill && n % 3 == 0) {
            DeleteWhileItRuns();
          } else {
            Try(kill ? kKills[n % kKills.size()] : kExecutions[n % kExecutions.size()]);
          }
        }
      });
    }
    uint32_t looked = 0;
    while (next < total) {
      const uint32_t now = std::min(next.load(), total);
      if (now >= uint64_t{total} * looked / kLooks) {
        ++looked;
        memory_.push_back({std::string(name), now, TakeMemory(target_.jailer_pid())});
      }
      {
        const std::lock_guard lock(mutex_);
        console_.Progress(StrCat(name, ": ", std::min(next.load(), total), " of ", total));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    for (std::thread& thread : threads) thread.join();
  }

  void Try(const Case& what) {
    v1::Limits limits;
    limits.set_wall_ms(what.wall_ms);
    const BenchRun run = target_.Execute("", std::string(what.code), limits);
    if (!run.status.ok()) return Wrong(StrCat("an execution was refused: ", run.status.error_message()));
    if (run.outcome.kind() == what.kind) return;
    Wrong(StrCat("\"", what.code, "\" ended as ", v1::OutcomeKind_Name(run.outcome.kind()), ", not ",
                 v1::OutcomeKind_Name(what.kind), ": ", run.outcome.message()));
  }

  void DeleteWhileItRuns() {
    const auto session = target_.Create();
    if (!session.ok()) return Wrong(StrCat("a session was refused: ", session.status().message()));
    std::thread runs([&] { (void)target_.Execute(*session, "import subprocess\nsubprocess.call(['sleep', '600'])"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const absl::Status deleted = target_.Delete(*session);
    runs.join();
    if (!deleted.ok()) Wrong(StrCat("a session was not deleted: ", deleted.message()));
  }

  Inventory Settle() {
    if (!target_.AwaitNoSessions()) Wrong("sessions are there still");
    // The kernel, the pool and the server's threads take a moment; what stays, stays.
    Inventory last;
    for (int i = 0; i < 50; ++i) {
      (void)target_.AwaitPool();
      Inventory now = TakeInventory(target_.jailer_pid(), target_.directory());
      const bool settled = now.counts == last.counts;
      last = std::move(now);
      if (settled) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return last;
  }

  void Report(const Inventory& before, const Inventory& after) {
    std::string json = StrCat("{\"executions\":", options_.soak, ",\"kills\":", options_.kills, ",\"counts\":{");
    std::map<std::string, uint64_t> all = before.counts;
    all.insert(after.counts.begin(), after.counts.end());
    std::string_view comma;
    for (const auto& [name, unused] : all) {
      const auto count = [&name = name](const Inventory& inventory) {
        const auto found = inventory.counts.find(name);
        return found == inventory.counts.end() ? uint64_t{0} : found->second;
      };
      console_.Print(StrCat(name, ": ", count(before), " before, ", count(after), " after"));
      json += StrCat(comma, "\"", name, "\":[", count(before), ",", count(after), "]");
      comma = ",";
      if (count(after) > count(before)) Wrong(StrCat(name, " grew from ", count(before), " to ", count(after)));
    }
    console_.Print("resident memory, by what had been executed");
    std::string looks;
    for (const Look& look : memory_) {
      std::string line = StrCat("  ", look.phase, ", ", look.executed, ":");
      looks += StrCat(looks.empty() ? "" : ",", "{\"phase\":\"", look.phase, "\",\"executed\":", look.executed);
      for (const auto& [name, bytes] : look.memory) {
        line += StrCat("  ", name, " ", HumanBytes(bytes));
        looks += StrCat(",\"", name, "\":", bytes);
      }
      looks += "}";
      console_.Print(line);
    }
    console_.Print(StrCat("memory of the service: ", HumanBytes(before.memory_bytes), " before, ",
                          HumanBytes(after.memory_bytes), " after"));
    if (after.memory_bytes > before.memory_bytes + kGrowthMax) Wrong("the service's memory grew");
    for (const std::string& wrong : wrong_) console_.Say(wrong);
    console_.PrintJsonText(StrCat(json, "},\"memory_bytes\":[", before.memory_bytes, ",", after.memory_bytes,
                                  "],\"resident\":[", looks, "],\"wrong\":", wrong_.size(), "}"));
  }

  void Wrong(std::string what) {
    const std::lock_guard lock(mutex_);
    if (wrong_.size() < 20) wrong_.push_back(std::move(what));
  }

  BenchTarget& target_;
  const BenchOptions& options_;
  Console& console_;
  std::mutex mutex_;
  std::vector<std::string> wrong_;
  struct Look {
    std::string phase;
    uint32_t executed = 0;
    std::map<std::string, uint64_t> memory;
  };
  std::vector<Look> memory_;
};

}  // namespace

ExitCode Soak(BenchTarget& target, const BenchOptions& options, Console& console) {
  return Soaking(target, options, console).Run();
}

}  // namespace carrel::cli
