#include "cgroup_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include "text.h"

namespace carrel::sandbox {
namespace {

// Where the processes of a group go that must be free of them.
constexpr std::string_view kLeaf = "/carrel-leaf";
// Of a millisecond and more each: those who fork while they are moved.
constexpr int kMakeRoomRounds = 5000;

struct Hierarchy {
  std::vector<std::string_view> options;  // of the file system; on v1 its controllers are among them
  std::string_view root;                  // the group that is at the mount point
  std::string mount_point;
  bool unified = false;
};

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

bool Has(const std::vector<std::string_view>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return absl::ErrnoToStatus(errno, path);
  std::string text;
  std::string block(4096, '\0');
  while (true) {
    const ssize_t got = read(fd.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, path);
    if (got == 0) return text;
    text.append(block, 0, static_cast<size_t>(got));
  }
}

// A line of mountinfo: "id parent dev root mount-point options optional... - type source super-options".
std::optional<Hierarchy> ParseMount(std::string_view line, const std::string& prefix) {
  const size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return std::nullopt;
  const std::vector<std::string_view> before = Words(line.substr(0, dash));
  const std::vector<std::string_view> after = Words(line.substr(dash + 3));
  if (before.size() < 5 || after.size() < 3) return std::nullopt;
  if (after[0] != "cgroup" && after[0] != "cgroup2") return std::nullopt;
  return Hierarchy{.options = Split(after[2], ','),
                   .root = before[3],
                   .mount_point = Concat(prefix, before[4]),
                   .unified = after[0] == "cgroup2"};
}

// Our group's path in one hierarchy, from lines of "id:controllers:path".
std::optional<std::string_view> OwnPath(std::string_view own_groups, std::string_view controller) {
  for (const std::string_view line : Split(own_groups, '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::vector<std::string_view> controllers = Split(line.substr(first + 1, second - first - 1), ',');
    if (Has(controllers, controller)) return line.substr(second + 1);
  }
  return std::nullopt;
}

// Where our group is under the mount point; nullopt when the mount does not show it.
std::optional<std::string> DirectoryOf(const Hierarchy& hierarchy, std::string_view path) {
  const std::string_view root = hierarchy.root == "/" ? std::string_view() : hierarchy.root;
  if (path.starts_with("/..") || !path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return Concat(hierarchy.mount_point, path == "/" ? std::string_view() : path);
}

class Finder final {
 public:
  Finder(std::string mounts, std::string own_groups, const std::string& prefix)
      : mounts_(std::move(mounts)), own_groups_(std::move(own_groups)) {
    for (const std::string_view line : Split(mounts_, '\n')) {
      if (std::optional<Hierarchy> hierarchy = ParseMount(line, prefix)) hierarchies_.push_back(*std::move(hierarchy));
    }
  }

  // v1 first: a controller that is mounted there cannot be used on v2.
  [[nodiscard]] std::optional<CgroupPlace> Find(std::string_view controller) const {
    for (const Hierarchy& hierarchy : hierarchies_) {
      if (hierarchy.unified || !Has(hierarchy.options, controller)) continue;
      if (std::optional<CgroupPlace> place = PlaceIn(hierarchy, controller)) return place;
    }
    for (const Hierarchy& hierarchy : hierarchies_) {
      if (!hierarchy.unified) continue;
      std::optional<CgroupPlace> place = PlaceIn(hierarchy, "");
      if (place && Offers(place->directory, controller)) return place;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::vector<CgroupPlace> FindUpwards(std::string_view controller) const {
    std::vector<CgroupPlace> groups;
    for (const Hierarchy& hierarchy : hierarchies_) {
      const bool counts = hierarchy.unified || Has(hierarchy.options, controller);
      std::optional<CgroupPlace> place =
          counts ? PlaceIn(hierarchy, hierarchy.unified ? "" : controller) : std::nullopt;
      if (!place) continue;
      std::string& directory = place->directory;
      for (; directory.size() > hierarchy.mount_point.size(); directory.resize(directory.rfind('/'))) {
        groups.push_back(*place);
      }
      directory = hierarchy.mount_point;
      groups.push_back(*std::move(place));
    }
    return groups;
  }

 private:
  [[nodiscard]] std::optional<CgroupPlace> PlaceIn(const Hierarchy& hierarchy, std::string_view controller) const {
    const std::optional<std::string_view> path = OwnPath(own_groups_, controller);
    if (!path) return std::nullopt;
    std::optional<std::string> directory = DirectoryOf(hierarchy, *path);
    // A jailer before us has put us there (EnableBelow); its group, with what is enabled below, is ours too.
    if (directory && hierarchy.unified && directory->ends_with(kLeaf)) {
      directory->resize(directory->size() - kLeaf.size());
    }
    if (!directory || access(directory->c_str(), F_OK) != 0) return std::nullopt;
    return CgroupPlace{.directory = *std::move(directory),
                       .unified = hierarchy.unified,
                       .favors_moves = hierarchy.unified && Has(hierarchy.options, "favordynmods")};
  }

  static bool Offers(const std::string& directory, std::string_view controller) {
    const absl::StatusOr<std::string> offered = ReadGroupFile(directory, "cgroup.controllers");
    if (!offered.ok()) return false;
    return Has(Words(*offered), controller);
  }

  std::string mounts_;
  std::string own_groups_;
  std::vector<Hierarchy> hierarchies_;
};

// systemd marks what it delegates; the root of a cgroup namespace (a container's) has no parent in sight.
bool IsOurs(const std::string& directory) {
  char mark = 0;
  for (const char* name : {"user.delegate", "trusted.delegate"}) {
    if (getxattr(directory.c_str(), name, &mark, 1) == 1 && mark == '1') return true;
  }
  const std::string parent = std::filesystem::path(directory).parent_path();
  return access(Concat(parent, "/cgroup.procs").c_str(), F_OK) != 0;
}

absl::Status MoveAll(const std::string& from, const std::string& to) {
  for (const pid_t pid : GroupProcesses(from)) {
    absl::Status moved = WriteGroupFile(to, "cgroup.procs", Concat(pid), true);
    // ESRCH: it has ended meanwhile; until it is reaped a signal would still find it.
    if (!moved.ok() && !absl::IsNotFound(moved)) return moved;
  }
  return absl::OkStatus();
}

void SleepMillisecond() {
  const timespec time{.tv_sec = 0, .tv_nsec = 1'000'000};
  nanosleep(&time, nullptr);
}

// Through a pidfd and a second look, so that a pid that was reused in between is never hit.
void KillMember(const std::string& directory, pid_t pid) {
  const UniqueFd handle(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!handle) return;
  const std::vector<pid_t> now = GroupProcesses(directory);
  if (std::find(now.begin(), now.end(), pid) == now.end()) return;
  syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
}

// Takes the lock that says "my jailer is alive". An unset one: somebody has it.
UniqueFd Lock(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

}  // namespace

absl::StatusOr<CgroupPlaces> FindOwnGroups(const CgroupOptions& options) {
  absl::StatusOr<std::string> mounts = ReadWhole(options.mounts);
  if (!mounts.ok()) return mounts.status();
  absl::StatusOr<std::string> own_groups = ReadWhole(options.own_groups);
  if (!own_groups.ok()) return own_groups.status();
  const Finder finder(*std::move(mounts), *std::move(own_groups), options.root);
  CgroupPlaces places;
  const auto find = [&finder](const char* controller, CgroupPlace& place) -> absl::Status {
    std::optional<CgroupPlace> found = finder.Find(controller);
    if (!found) {
      return absl::FailedPreconditionError(Concat(
          "cgroup: the ", controller, " controller is in no hierarchy that shows our own group; mount it, or in a ",
          "container ask for a writable cgroup (docker: --cgroupns=private; systemd: Delegate=yes)"));
    }
    place = *std::move(found);
    return absl::OkStatus();
  };
  if (absl::Status status = find("memory", places.memory); !status.ok()) return status;
  if (absl::Status status = find("pids", places.pids); !status.ok()) return status;
  if (absl::Status status = find("cpu", places.cpu); !status.ok()) return status;
  if (places.cpu.unified) {
    places.cpuacct = places.cpu;
  } else if (absl::Status status = find("cpuacct", places.cpuacct); !status.ok()) {
    return status;
  }
  return places;
}

std::vector<CgroupPlace> FindGroupsUpwards(const CgroupOptions& options, std::string_view controller) {
  absl::StatusOr<std::string> mounts = ReadWhole(options.mounts);
  absl::StatusOr<std::string> own_groups = ReadWhole(options.own_groups);
  if (!mounts.ok() || !own_groups.ok()) return {};
  return Finder(*std::move(mounts), *std::move(own_groups), options.root).FindUpwards(controller);
}

absl::Status EnableBelow(const std::string& directory, const std::vector<std::string>& controllers, bool kernel) {
  std::string wanted;
  const absl::StatusOr<std::string> enabled = ReadGroupFile(directory, "cgroup.subtree_control");
  if (!enabled.ok() && kernel) return enabled.status();
  const std::vector<std::string_view> there = enabled.ok() ? Words(*enabled) : std::vector<std::string_view>();
  for (const std::string& controller : controllers) {
    if (std::find(there.begin(), there.end(), controller) == there.end()) wanted += Concat("+", controller, " ");
  }
  if (wanted.empty()) return absl::OkStatus();
  absl::Status status = WriteGroupFile(directory, "cgroup.subtree_control", wanted, kernel);
  if (status.ok() || !kernel) return status;
  if (!IsOurs(directory)) {
    return absl::FailedPreconditionError(Concat(
        "cgroup v2: ", status.message(), "; the group is not delegated to us: run the service with Delegate=yes ",
        "(systemd-run -p Delegate=yes ...)"));
  }
  const std::string leaf = Concat(directory, kLeaf);
  if (mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) return absl::ErrnoToStatus(errno, "mkdir " + leaf);
  // Whoever is not moved yet may fork behind our back.
  for (int round = 0; round < kMakeRoomRounds && !status.ok(); ++round) {
    if (round > 0) SleepMillisecond();
    if (absl::Status moved = MoveAll(directory, leaf); !moved.ok()) return moved;
    status = WriteGroupFile(directory, "cgroup.subtree_control", wanted, kernel);
  }
  return status;
}

absl::StatusOr<std::string> ReadGroupFile(const std::string& directory, std::string_view file) {
  return ReadWhole(Concat(directory, "/", file));
}

absl::Status WriteGroupFile(const std::string& directory, std::string_view file, std::string_view text, bool kernel) {
  const std::string path = Concat(directory, "/", file);
  const int flags = O_WRONLY | O_CLOEXEC | (kernel ? 0 : O_CREAT | O_TRUNC);
  const UniqueFd fd(open(path.c_str(), flags, 0644));
  if (!fd) return absl::ErrnoToStatus(errno, path);
  const ssize_t written = write(fd.get(), text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  return absl::ErrnoToStatus(written < 0 ? errno : EIO, Concat("writing ", text, " to ", path));
}

bool HasGroupFile(const std::string& directory, std::string_view file) {
  return access(Concat(directory, "/", file).c_str(), F_OK) == 0;
}

uint64_t GroupNumber(const std::string& directory, std::string_view file) {
  const absl::StatusOr<std::string> text = ReadGroupFile(directory, file);
  return text.ok() ? Number(Strip(*text)).value_or(0) : 0;
}

uint64_t GroupNumber(const std::string& directory, std::string_view file, std::string_view key) {
  const absl::StatusOr<std::string> text = ReadGroupFile(directory, file);
  if (!text.ok()) return 0;
  for (const std::string_view line : Split(*text, '\n')) {
    const std::vector<std::string_view> words = Words(line);
    if (words.size() == 2 && words[0] == key) return Number(words[1]).value_or(0);
  }
  return 0;
}

std::vector<pid_t> GroupProcesses(const std::string& directory) {
  std::vector<pid_t> pids;
  const absl::StatusOr<std::string> text = ReadGroupFile(directory, "cgroup.procs");
  if (!text.ok()) return pids;
  for (const std::string_view line : Split(*text, '\n')) {
    // 0 is a process of a pid namespace that we do not see.
    const std::optional<uint64_t> pid = Number(line);
    if (pid && *pid > 0) pids.push_back(static_cast<pid_t>(*pid));
  }
  return pids;
}

absl::Status KillGroup(const std::string& directory, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const std::vector<pid_t> pids = GroupProcesses(directory);
    if (pids.empty()) return absl::OkStatus();
    // From 5.14; signals all at once, also what is being forked.
    if (!WriteGroupFile(directory, "cgroup.kill", "1", true).ok()) {
      for (const pid_t pid : pids) KillMember(directory, pid);
    }
    SleepMillisecond();
  }
  const size_t left = GroupProcesses(directory).size();
  if (left == 0) return absl::OkStatus();
  return absl::DeadlineExceededError(Concat(directory, ": ", left, " processes have not ended yet"));
}

std::vector<std::string> GroupsBelow(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseDirectory> listing(opendir(directory.c_str()));
  if (!listing) return names;
  while (const dirent* entry = readdir(listing.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

absl::Status RemoveGroup(const std::string& directory, bool kernel) {
  if (!kernel) {
    std::error_code error;
    std::filesystem::remove_all(directory, error);
    return error ? absl::InternalError(Concat(directory, ": ", error.message())) : absl::OkStatus();
  }
  for (const std::string& name : GroupsBelow(directory)) {
    if (absl::Status status = RemoveGroup(Concat(directory, "/", name), kernel); !status.ok()) return status;
  }
  // EBUSY: a process that has ended is still being taken out.
  constexpr int kTries = 200;
  for (int i = 0; i < kTries; ++i) {
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    if (errno != EBUSY) break;
    SleepMillisecond();
  }
  return absl::ErrnoToStatus(errno, "rmdir " + directory);
}

absl::StatusOr<UniqueFd> MakeLockedGroup(const std::string& directory) {
  // Between the making and the locking another jailer may take it for a dead one's and remove it.
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return absl::ErrnoToStatus(errno, directory);
    UniqueFd lock = Lock(directory);
    if (lock && access(directory.c_str(), F_OK) == 0) return lock;
  }
  return absl::InternalError(Concat(directory, " is held by another process"));
}

void RemoveDeadTrees(const std::string& parent, bool kernel) {
  for (const std::string& name : GroupsBelow(parent)) {
    if (!name.starts_with(kTreePrefix) || !Number(std::string_view(name).substr(kTreePrefix.size()))) continue;
    const std::string directory = Concat(parent, "/", name);
    const UniqueFd lock = Lock(directory);
    if (!lock) continue;
    for (const std::string& session : GroupsBelow(directory)) {
      KillGroup(Concat(directory, "/", session), kCleanupRounds).IgnoreError();
    }
    RemoveGroup(directory, kernel).IgnoreError();
  }
}

}  // namespace carrel::sandbox
