#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "cgroup_files.h"
#include "sandbox/base/message_socket.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

// The kernel's own default; shorter costs more switches, longer makes a throttled session stutter.
constexpr uint64_t kCpuPeriodMicros = 100'000;

std::array<const CgroupPlace*, 4> All(const CgroupPlaces& places) {
  return {&places.memory, &places.pids, &places.cpu, &places.cpuacct};
}

// Each directory once, in a fixed order.
std::vector<std::string> DirectoriesOf(const CgroupPlaces& places) {
  std::vector<std::string> directories;
  for (const CgroupPlace* place : All(places)) {
    if (place->directory.empty()) continue;
    if (std::find(directories.begin(), directories.end(), place->directory) == directories.end()) {
      directories.push_back(place->directory);
    }
  }
  return directories;
}

CgroupPlaces Below(const CgroupPlaces& places, std::string_view name) {
  CgroupPlaces below = places;
  for (CgroupPlace* place : {&below.memory, &below.pids, &below.cpu, &below.cpuacct}) {
    place->directory = Concat(place->directory, "/", name);
  }
  return below;
}

// What the kernel reads back may be rounded down to pages, never up.
absl::Status SetNumber(const std::string& directory, std::string_view file, uint64_t value, bool kernel) {
  if (absl::Status status = WriteGroupFile(directory, file, Concat(value), kernel); !status.ok()) return status;
  const uint64_t now = GroupNumber(directory, file);
  constexpr uint64_t kPage = 4096;
  if (now <= value && now + kPage > value) return absl::OkStatus();
  return absl::FailedPreconditionError(Concat(directory, "/", file, " says ", now, " after ", value, " was written"));
}

absl::Status SetMemory(const CgroupPlace& place, uint64_t bytes, bool kernel) {
  if (place.unified) {
    if (absl::Status status = SetNumber(place.directory, "memory.max", bytes, kernel); !status.ok()) return status;
    // Missing where the kernel does not account swap, or has none.
    if (!HasGroupFile(place.directory, "memory.swap.max")) return absl::OkStatus();
    return SetNumber(place.directory, "memory.swap.max", 0, kernel);
  }
  const bool counts_swap = HasGroupFile(place.directory, "memory.memsw.limit_in_bytes");
  // The limit with swap may never be below the one without: to raise both it comes first, to lower them last.
  if (counts_swap) {
    WriteGroupFile(place.directory, "memory.memsw.limit_in_bytes", Concat(bytes), kernel).IgnoreError();
  }
  if (absl::Status status = SetNumber(place.directory, "memory.limit_in_bytes", bytes, kernel); !status.ok()) {
    return status;
  }
  if (counts_swap) {
    return SetNumber(place.directory, "memory.memsw.limit_in_bytes", bytes, kernel);
  }
  return WriteGroupFile(place.directory, "memory.swappiness", "0", kernel);
}

absl::Status SetCpu(const CgroupPlace& place, uint64_t millis, bool kernel) {
  const uint64_t quota = millis * kCpuPeriodMicros / 1000;
  if (place.unified) {
    return WriteGroupFile(place.directory, "cpu.max", Concat(quota, " ", kCpuPeriodMicros), kernel);
  }
  if (absl::Status status = SetNumber(place.directory, "cpu.cfs_period_us", kCpuPeriodMicros, kernel); !status.ok()) {
    return status;
  }
  return SetNumber(place.directory, "cpu.cfs_quota_us", quota, kernel);
}

std::string_view MemoryEventsFile(const CgroupPlaces& places) {
  return places.memory.unified ? "memory.events" : "memory.oom_control";
}

// On v2, lets the controllers be used in groups below.
absl::Status EnableAll(const CgroupPlaces& places, bool kernel) {
  for (const std::string& directory : DirectoriesOf(places)) {
    std::vector<std::string> controllers;
    const auto wants = [&](const CgroupPlace& place, const char* name) {
      if (place.unified && place.directory == directory) controllers.emplace_back(name);
    };
    wants(places.memory, "memory");
    wants(places.pids, "pids");
    wants(places.cpu, "cpu");
    if (controllers.empty()) continue;
    if (absl::Status status = EnableBelow(directory, controllers, kernel); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// A child that goes through the entrances and waits to be killed; it ends at once if it is refused. -1: fork failed.
pid_t StartIdle(const std::vector<UniqueFd>& entrances, int entered) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  // A jailer that is killed now takes it along.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) _exit(errno);
  if (getppid() != parent) _exit(ESRCH);
  for (const UniqueFd& entrance : entrances) {
    if (const int error = EnterCgroup(entrance.get()); error != 0) _exit(error);
  }
  close(entered);
  while (true) pause();
}

void EndIdle(pid_t child) {
  kill(child, SIGKILL);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

Cgroup::Cgroup(Cgroup&& other) noexcept : places_(std::exchange(other.places_, {})), kernel_(other.kernel_) {}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  if (this != &other) {
    Remove().IgnoreError();
    places_ = std::exchange(other.places_, {});
    kernel_ = other.kernel_;
  }
  return *this;
}

Cgroup::~Cgroup() {
  // What does not end within the rounds stays for the tree's destructor or the next start.
  Remove().IgnoreError();
}

std::vector<std::string> Cgroup::Directories() const { return DirectoriesOf(places_); }

std::vector<std::string> Cgroup::Directories(bool unified) const {
  CgroupPlaces places = places_;
  for (CgroupPlace* place : {&places.memory, &places.pids, &places.cpu, &places.cpuacct}) {
    if (place->unified != unified) place->directory.clear();
  }
  return DirectoriesOf(places);
}

absl::Status Cgroup::SetLimits(const JailLimits& limits) const {
  if (absl::Status status = SetMemory(places_.memory, limits.memory_bytes, kernel_); !status.ok()) return status;
  if (absl::Status status = SetNumber(places_.pids.directory, "pids.max", limits.processes, kernel_); !status.ok()) {
    return status;
  }
  return SetCpu(places_.cpu, limits.cpu_millis, kernel_);
}

absl::Status Cgroup::AddToUnified(pid_t pid) {
  for (const std::string& directory : Directories(true)) {
    if (absl::Status status = WriteGroupFile(directory, "cgroup.procs", Concat(pid), kernel_); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UniqueFd>> Cgroup::OpenEntrances() const {
  std::vector<UniqueFd> entrances;
  for (const std::string& directory : Directories(false)) {
    const std::string path = directory + "/tasks";
    entrances.emplace_back(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!entrances.back()) return absl::ErrnoToStatus(errno, path);
  }
  return entrances;
}

int EnterCgroup(int entrance) noexcept {
  // 0: whoever writes.
  return write(entrance, "0", 1) == 1 ? 0 : errno;
}

uint64_t Cgroup::OomKills() const {
  return GroupNumber(places_.memory.directory, MemoryEventsFile(places_), "oom_kill");
}

absl::StatusOr<CgroupCounters> Cgroup::OpenCounters() const {
  const auto open_file = [](const CgroupPlace& place, std::string_view file) {
    return UniqueFd(open(Concat(place.directory, "/", file).c_str(), O_RDONLY | O_CLOEXEC));
  };
  const bool unified = places_.memory.unified;
  std::array<UniqueFd, CgroupCounters::kFilesMax> files;
  files[CgroupCounters::kMemory] = open_file(places_.memory, unified ? "memory.current" : "memory.usage_in_bytes");
  files[CgroupCounters::kMemoryPeak] = open_file(places_.memory, unified ? "memory.peak" : "memory.max_usage_in_bytes");
  // memory.peak came with Linux 5.19.
  if (!files[CgroupCounters::kMemoryPeak])
    files[CgroupCounters::kMemoryPeak] = open_file(places_.memory, "memory.current");
  files[CgroupCounters::kMemoryEvents] = open_file(places_.memory, MemoryEventsFile(places_));
  files[CgroupCounters::kCpu] = open_file(places_.cpuacct, places_.cpuacct.unified ? "cpu.stat" : "cpuacct.usage");
  files[CgroupCounters::kPids] = open_file(places_.pids, "pids.current");
  files[CgroupCounters::kPidsEvents] = open_file(places_.pids, "pids.events");
  for (const UniqueFd& file : files) {
    if (!file) return absl::FailedPreconditionError("the control group is gone, or has not all of its counters");
  }
  return CgroupCounters(std::move(files), places_.cpuacct.unified);
}

bool Cgroup::IsThere() const {
  const std::vector<std::string> directories = Directories();
  return std::all_of(directories.begin(), directories.end(),
                     [](const std::string& directory) { return access(directory.c_str(), F_OK) == 0; });
}

absl::StatusOr<JailStats> Cgroup::Stats() const {
  const absl::StatusOr<CgroupCounters> counters = OpenCounters();
  if (!counters.ok()) return counters.status();
  return counters->Read();
}

std::vector<pid_t> Cgroup::Processes() const { return GroupProcesses(places_.pids.directory); }

absl::Status Cgroup::KillAll(int rounds) {
  if (places_.pids.directory.empty()) return absl::OkStatus();
  // A refused write leaves the race to the rounds.
  WriteGroupFile(places_.pids.directory, "pids.max", "0", kernel_).IgnoreError();
  return KillGroup(places_.pids.directory, rounds);
}

bool Cgroup::RemoveEmpty() const {
  bool removed = true;
  for (const std::string& directory : Directories()) removed &= rmdir(directory.c_str()) == 0 || errno == ENOENT;
  return removed;
}

absl::Status Cgroup::Remove() {
  if (places_.pids.directory.empty()) return absl::OkStatus();
  // Mostly all has ended, and nobody need be looked for.
  if (kernel_ && RemoveEmpty()) {
    places_ = {};
    return absl::OkStatus();
  }
  if (kernel_) {
    if (absl::Status status = KillAll(kCleanupRounds); !status.ok()) return status;
  }
  for (const std::string& directory : Directories()) {
    if (absl::Status status = RemoveGroup(directory, kernel_); !status.ok()) return status;
  }
  places_ = {};
  return absl::OkStatus();
}

absl::StatusOr<CgroupTree> CgroupTree::Detect(const CgroupOptions& options) {
  absl::StatusOr<CgroupPlaces> own = FindOwnGroups(options);
  if (!own.ok()) return own.status();
  CgroupTree tree;
  tree.options_ = options;
  tree.places_ = Below(*own, Concat(kTreePrefix, getpid()));
  const auto refused = [](const absl::Status& status) {
    return absl::FailedPreconditionError(
        Concat("cgroup: ", status.message(), "; run as root, or with a delegated group (systemd: Delegate=yes)"));
  };
  for (const std::string& directory : DirectoriesOf(*own)) RemoveDeadTrees(directory, options.kernel);
  if (absl::Status status = EnableAll(*own, options.kernel); !status.ok()) return refused(status);
  for (const std::string& directory : DirectoriesOf(tree.places_)) {
    absl::StatusOr<UniqueFd> lock = MakeLockedGroup(directory);
    if (!lock.ok()) return refused(lock.status());
    tree.locks_.push_back(*std::move(lock));
  }
  if (absl::Status status = EnableAll(tree.places_, options.kernel); !status.ok()) return refused(status);
  if (absl::Status status = tree.TryIt(); !status.ok()) return refused(status);
  return tree;
}

absl::Status CgroupTree::TryIt() {
  const JailLimits limits{.memory_bytes = uint64_t{64} << 20, .processes = 8, .cpu_millis = 1000};
  absl::StatusOr<Cgroup> group = Create("trial", limits);
  if (!group.ok()) return group.status();
  if (!options_.kernel) return absl::OkStatus();
  const absl::StatusOr<std::vector<UniqueFd>> entrances = group->OpenEntrances();
  if (!entrances.ok()) return entrances.status();
  absl::StatusOr<Pipe> entered = MakePipe();
  if (!entered.ok()) return entered.status();
  const pid_t child = StartIdle(*entrances, entered->write.get());
  if (child < 0) return absl::ErrnoToStatus(errno, "fork");
  entered->write.reset();
  char byte;
  (void)!read(entered->read.get(), &byte, 1);  // the end of the file: it is in, or it has ended
  absl::Status status = group->AddToUnified(child);
  const std::vector<pid_t> members = group->Processes();
  if (status.ok() && std::find(members.begin(), members.end(), child) == members.end()) {
    status = absl::FailedPreconditionError("a process that was moved into a group is not in it");
  }
  EndIdle(child);
  return status;
}

CgroupTree::CgroupTree(CgroupTree&& other) noexcept
    : options_(std::move(other.options_)),
      places_(std::exchange(other.places_, {})),
      locks_(std::exchange(other.locks_, {})) {}

CgroupTree& CgroupTree::operator=(CgroupTree&& other) noexcept {
  std::swap(options_, other.options_);
  std::swap(places_, other.places_);
  std::swap(locks_, other.locks_);
  return *this;
}

CgroupTree::~CgroupTree() {
  for (const std::string& directory : DirectoriesOf(places_)) {
    for (const std::string& session : GroupsBelow(directory)) {
      if (options_.kernel) KillGroup(Concat(directory, "/", session), kCleanupRounds).IgnoreError();
    }
    RemoveGroup(directory, options_.kernel).IgnoreError();
  }
}

absl::StatusOr<Cgroup> CgroupTree::Create(std::string_view name, const JailLimits& limits) {
  if (name.empty() ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != name.npos) {
    return absl::InvalidArgumentError("a control group's name is letters, digits and '-'");
  }
  Cgroup group;
  group.kernel_ = options_.kernel;
  CgroupPlaces places = Below(places_, name);
  std::vector<std::string> made;
  for (const std::string& directory : DirectoriesOf(places)) {
    if (mkdir(directory.c_str(), 0755) != 0) {
      const absl::Status status = absl::ErrnoToStatus(errno, "mkdir " + directory);
      for (const std::string& other : made) rmdir(other.c_str());
      return status;
    }
    made.push_back(directory);
  }
  // From here the destructor removes it.
  group.places_ = std::move(places);
  if (absl::Status status = group.SetLimits(limits); !status.ok()) return status;
  return group;
}

std::string CgroupTree::Describe() const {
  std::string old;
  std::string unified;
  const auto add = [&](const CgroupPlace& place, std::string_view name) {
    std::string& list = place.unified ? unified : old;
    list += Concat(list.empty() ? "" : ", ", name);
  };
  add(places_.memory, "memory");
  add(places_.pids, "pids");
  add(places_.cpu, "cpu");
  if (!places_.cpuacct.unified) add(places_.cpuacct, "cpuacct");
  if (unified.empty()) return "v1: " + old;
  return old.empty() ? "v2: " + unified : Concat("v1: ", old, "; v2: ", unified);
}

bool CgroupTree::MovesWait() const {
  const auto all = All(places_);
  return std::any_of(all.begin(), all.end(),
                     [](const CgroupPlace* place) { return place->unified && !place->favors_moves; });
}

}  // namespace carrel::sandbox
