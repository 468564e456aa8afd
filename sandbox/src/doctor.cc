#include "sandbox/doctor.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "confined_places.h"
#include "confined_processes.h"
#include "disk_image.h"
#include "doctor_trial.h"
#include "loop_mount.h"
#include "namespaces.h"
#include "sandbox/cgroup.h"
#include "sandbox/identity.h"
#include "sandbox/landlock.h"
#include "sandbox/rlimits.h"
#include "sandbox/seccomp.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

// What a child found out: 0 or errno in a byte.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child < 0) return errno;
  if (child == 0) _exit(body());
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string MendOf(const TrialResult& result, bool root) {
  const TrialStage stage = result.stage;
  if (stage == TrialStage::kUserNamespace && result.error == ENOSPC) return "sysctl -w user.max_user_namespaces=10000";
  if (stage == TrialStage::kUserNamespace || (stage > TrialStage::kUidMap && stage <= TrialStage::kCgroupNamespace)) {
    // Exactly the case in which the clone succeeds and what follows fails.
    if (FirstLine("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
      return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root";
    }
    if (FirstLine("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
      return "sysctl -w kernel.unprivileged_userns_clone=1, or run as root";
    }
    return "run outside of a container, or in one that allows namespaces (docker: --security-opt seccomp=unconfined; "
           "Kubernetes: hostUsers: false)";
  }
  if (stage == TrialStage::kUidMap) {
    return root ? "give the container CAP_SETUID and CAP_SETGID" : "run as root";
  }
  if (stage == TrialStage::kProc) {
    return "the container masks parts of /proc: Kubernetes: hostUsers: false and procMount: Unmasked; docker: "
           "--security-opt systempaths=unconfined; or do without one: `proc none` in the manifest of every runtime";
  }
  if (stage == TrialStage::kIdentity) {
    return "allow setresuid, setresgid, capset and prctl (the container's seccomp profile: docker: --security-opt "
           "seccomp=unconfined)";
  }
  if (stage < TrialStage::kIdentity) {
    return "allow mounts in user namespaces (docker: --security-opt apparmor=unconfined --security-opt "
           "seccomp=unconfined; Linux 5.12 or newer)";
  }
  return "Linux 5.12 or newer";
}

LayerState TrialLayer(const char* name, const TrialResult& result, TrialStage from, TrialStage to,
                      const std::string& detail) {
  LayerState layer{.name = name};
  if (result.stage > to) {
    layer.active = true;
    layer.detail = detail;
  } else if (result.stage < from) {
    layer.detail = "not tried: the layer before it failed";
  } else {
    layer.detail = Concat(TrialStageName(result.stage), ": ", std::strerror(result.error));
    layer.mend = MendOf(result, geteuid() == 0);
  }
  return layer;
}

LayerState ExamineCgroup(std::vector<LayerState>* advice) {
  const absl::StatusOr<CgroupTree> tree = CgroupTree::Detect();
  if (tree.ok() && tree->MovesWait()) {
    advice->push_back(
        {.name = "cgroup",
         .detail = "version 2 without favordynmods: making a session waits some 10 ms for a lock of the kernel",
         .mend = "mount -o remount,favordynmods /sys/fs/cgroup (on the host, until it starts again)"});
  }
  if (tree.ok()) return {.name = "cgroup", .active = true, .detail = tree->Describe()};
  // The message ends with the mend, which has a place of its own here.
  const std::string message = Concat(tree.status().message());
  return {.name = "cgroup",
          .detail = message.substr(0, message.find("; ")),
          .mend = geteuid() == 0 ? "mount a writable cgroup (docker: --cgroupns=private; systemd: Delegate=yes)"
                                 : "systemd-run --user --scope -p Delegate=yes COMMAND, where cgroups are v2; or "
                                   "--allow-no-cgroup, with a watchdog in its stead"};
}

LayerState ExamineRlimits() {
  const JailLimits limits{.memory_bytes = uint64_t{1} << 30,
                          .processes = 64,
                          .cpu_millis = 1000,
                          .workspace_bytes = uint64_t{1} << 20,
                          .workspace_files = 16,
                          .tmp_bytes = uint64_t{1} << 20,
                          .open_files = 16};
  const int error = InChild([&limits] {
    if (const int failed = ApplyRlimits(RlimitsFor(limits, true)); failed != 0) return failed;
    for (int i = 0; i < 64; ++i) {
      if (fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0) < 0) return errno == EMFILE ? 0 : errno;
    }
    return ERANGE;
  });
  if (error != 0) {
    return {.name = "rlimits",
            .detail = std::strerror(error),
            .mend =
                "allow prlimit64 and setrlimit (the container's seccomp profile), and hard limits of at least 64 "
                "processes and 16 files"};
  }
  return {.name = "rlimits", .active = true, .detail = "files, stack, data, core, file size"};
}

LayerState ExamineLandlock() {
  const int abi = LandlockAbi();
  if (abi == 0) {
    return {.name = "landlock",
            .detail = "this kernel has none, or it is switched off",
            .mend = "Linux 5.13 or newer with landlock in the lsm= list of the kernel's command line"};
  }
  const int error = InChild([] {
    const LandlockRule rule{.path = "/usr", .execute = true};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    if (const int failed = RestrictWithLandlock({&rule, 1}); failed != 0) return failed;
    const int fd = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 && errno == EACCES ? 0 : ENOTSUP;
  });
  if (error != 0) return {.name = "landlock", .detail = Concat("ABI ", abi, ", but: ", std::strerror(error))};
  std::string detail = Concat("ABI ", abi);
  if (abi < 2) detail += ": moving files between directories fails";
  if (abi < 6) detail += abi < 2 ? "; " : ": ";
  if (abi < 6) detail += "no scopes (from Linux 6.12); the namespaces do that";
  return {.name = "landlock", .active = true, .detail = detail};
}

LayerState ExamineSeccomp() {
  const absl::StatusOr<SyscallPolicy> policy = ParseSyscallPolicy(
      "default errno ENOSYS # trial\nallow exit_group # trial\nallow prctl # trial\nerrno EPERM getpid # trial\n",
      "trial");
  if (!policy.ok()) return {.name = "seccomp", .detail = Concat(policy.status().message())};
  const absl::StatusOr<std::vector<sock_filter>> program = CompileSyscallPolicy(*policy);
  if (!program.ok()) return {.name = "seccomp", .detail = Concat(program.status().message())};
  const int error = InChild([&program] {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    if (const int failed = LoadFilter(*program); failed != 0) return failed;
    return syscall(SYS_getpid) < 0 && errno == EPERM ? 0 : ENOTSUP;
  });
  if (error == 0) return {.name = "seccomp", .active = true, .detail = "filters by number and argument"};
  return {.name = "seccomp",
          .detail = std::strerror(error),
          .mend = "a kernel with CONFIG_SECCOMP_FILTER, and a container whose profile allows seccomp(2)"};
}

// Who may be in the way: nothing of it is believed, it only explains what was tried.
void AdviseOnSurroundings(const std::string& tier, std::vector<LayerState>* advice) {
  std::string profile = FirstLine("/proc/self/attr/apparmor/current");
  if (profile.empty()) profile = FirstLine("/proc/self/attr/current");
  profile.resize(std::min(profile.size(), profile.find('\0')));
  if (!profile.empty() && !profile.starts_with("unconfined")) {
    advice->push_back({.name = "apparmor",
                       .detail = Concat("we run under the profile ", profile),
                       .mend = tier.empty() ? "docker: --security-opt apparmor=unconfined; Kubernetes: "
                                              "securityContext.appArmorProfile.type: Unconfined"
                                            : ""});
  }
  if (FirstLine("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" && geteuid() != 0) {
    advice->push_back({.name = "apparmor",
                       .detail = "user namespaces of ordinary users get no capabilities",
                       .mend = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile with userns"});
  }
  if (const std::string container = ContainerKind(); !container.empty()) {
    advice->push_back({.name = "container",
                       .detail = Concat("we are in ", container),
                       .mend = tier.empty() ? "one that allows namespaces (Kubernetes: hostUsers: false, procMount: "
                                              "Unmasked), or, knowing what it lacks, --tier confined"
                                            : ""});
  }
}

void Advise(const std::string& tier, std::vector<LayerState>* advice) {
  AdviseOnSurroundings(tier, advice);
  const std::string pages = FirstLine("/sys/kernel/mm/transparent_hugepage/enabled");
  if (pages.empty() || pages.find("[never]") != std::string::npos) {
    advice->push_back({.name = "huge pages",
                       .detail = "transparent huge pages are off: starting a session takes two to four times as long",
                       .mend = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"});
  }
  if (geteuid() == 0 && tier == "userns") {
    advice->push_back(
        {.name = "uid range",
         .detail = "root, but without a range of uids to map: sessions differ by namespace, not by uid",
         .mend = "give the container CAP_SETUID and CAP_SETGID, or run without a user namespace around it"});
  }
  if (FirstLine("/proc/sys/kernel/core_pattern").starts_with("|")) {
    advice->push_back({.name = "core dumps",
                       .detail = "crashes are piped to a program of the host, which then parses what a jail dumped",
                       .mend = "sysctl -w kernel.core_pattern=core"});
  }
}

// What DropTo gives up of us, tried by a child.
LayerState ExamineConfinedIdentity() {
  const bool root = geteuid() == 0;
  const Identity identity =
      root ? Identity{.uid = kHostIdBase + kSessionIdBase, .gid = kHostIdBase + kSessionIdBase}
           : Identity{.uid = geteuid(), .gid = getegid(), .groups_are_fixed = true, .has_no_capabilities = true};
  const int error = InChild([&identity] { return DropTo(identity); });
  if (error != 0) {
    return {.name = "identity",
            .detail = std::strerror(error),
            .mend = "run as an ordinary user (runAsNonRoot), or as root with CAP_SETUID, CAP_SETGID and CAP_SETPCAP"};
  }
  return {.name = "identity",
          .active = true,
          .detail = root ? "a uid per session, no capabilities" : "our own uid; no capabilities, no_new_privs"};
}

// What the tier `confined` does not give; THREAT_MODEL.md has the whole.
constexpr const char* kConfinedLacks[] = {
    "namespaces: none; a session sees that other processes of the pod exist, and its network, host name and mounts",
    "sessions: one at a time; what they have in common is emptied in between, not made anew",
    "files: Landlock hides what is in them, not that they are there; modes and times of files of one's own uid can be "
    "changed",
    "connect: refused, also to sockets of the session's own; datagram sockets, System V IPC and inotify too",
    "workspace size: as mounted, not as asked for",
    "processes: counted by uid, with the server's; a uid that others of the node have is counted together with theirs",
};

LayerState ExamineConfinedLandlock() {
  LayerState layer = ExamineLandlock();
  if (layer.active && LandlockAbi() < 6) {
    layer.active = false;
    layer.detail = Concat("ABI ", LandlockAbi(), " has no scopes: a session could signal the server");
    layer.mend = "Linux 6.12 or newer, or a tier with namespaces";
  }
  return layer;
}

// The filters are counted by who looks for what is jailed.
LayerState ExamineConfinedSeccomp() {
  LayerState layer = ExamineSeccomp();
  if (const auto jailed = JailedBelow(getpid()); layer.active && !jailed.ok()) {
    layer.active = false;
    layer.detail = Concat(jailed.status().message());
    layer.mend = "Linux 5.9 or newer, with /proc mounted and without hidepid";
  }
  return layer;
}

// Of a message that ends with the mend, which has a place of its own here.
LayerState Missing(const char* layer, const absl::Status& status) {
  constexpr std::string_view kMend = ". Mend: ";
  const std::string message = Concat(status.message());
  const size_t mend = message.find(kMend);
  return {.name = layer,
          .detail = message.substr(0, mend),
          .mend = mend == std::string::npos ? "" : message.substr(mend + kMend.size())};
}

LayerState ExamineConfinedPlaces() {
  const absl::Status places = CheckConfinedPlaces();
  if (!places.ok()) return Missing("mounts", places);
  return {.name = "mounts", .active = true, .detail = "/mnt/data, /tmp, /dev/shm: emptied after each session"};
}

}  // namespace

DoctorReport Examine(const DoctorOptions& options) {
  DoctorReport report =
      options.tier == "confined" ? ExamineConfined() : ExamineMachine(options.tier, options.private_proc);
  if (!options.workspace_directory.empty()) {
    report.layers.push_back(ExamineDiskWorkspaces(options.workspace_directory, report.tier));
  }
  if (options.tier == "confined") report.allowed.emplace_back("namespaces");
  if (options.allow_no_cgroup) report.allowed.emplace_back("cgroup");
  return report;
}

LayerState ExamineDiskWorkspaces(const std::string& directory, const std::string& tier) {
  LayerState layer{.name = "workspace"};
  if (tier != "full") {
    layer.detail =
        Concat("on disk in ", directory, ": only root can mount one, and the tier is ", tier.empty() ? "none" : tier);
    layer.mend = "run as root (tier full), or leave interpreter.workspace_directory empty: workspaces are tmpfs then";
    return layer;
  }
  const auto failed = [](const absl::Status& status) {
    LayerState missing = Missing("workspace", status);
    missing.detail.insert(0, "on disk: ");
    return missing;
  };
  absl::StatusOr<DiskImages> images = DiskImages::Open(directory);
  if (!images.ok()) return failed(images.status());
  const absl::StatusOr<UniqueFd> image = images->Make({.bytes = uint64_t{1} << 20, .files = 16});
  if (!image.ok()) return failed(image.status());
  const absl::StatusOr<UniqueFd> mount = MountImage(image->get());
  if (!mount.ok()) return failed(mount.status());
  layer.active = true;
  layer.detail = Concat("on disk: ext4 on loop devices, in ", directory, ", with ", images->FreeBytes() >> 20,
                        " MiB for all workspaces");
  return layer;
}

DoctorReport ExamineConfined() {
  DoctorReport report;
  std::string lacks = "none: the tier confined was asked for; not held: ";
  for (const char* const lack : kConfinedLacks) lacks += Concat(lack == kConfinedLacks[0] ? "" : "; ", lack);
  report.layers = {{.name = "namespaces",
                    .detail = lacks,
                    .mend = "where they are allowed, --tier auto (Kubernetes: hostUsers: false, procMount: Unmasked)"},
                   ExamineConfinedPlaces(),
                   ExamineCgroup(&report.advice),
                   ExamineRlimits(),
                   ExamineConfinedIdentity(),
                   ExamineConfinedLandlock(),
                   ExamineConfinedSeccomp()};
  const bool all = std::all_of(report.layers.begin(), report.layers.end(), [](const LayerState& layer) {
    return layer.active || layer.name == "namespaces" || layer.name == "cgroup";
  });
  if (all) report.tier = "confined";
  Advise(report.tier, &report.advice);
  return report;
}

DoctorReport ExamineMachine(const std::string& tier, bool private_proc) {
  DoctorReport report;
  TrialResult trial;
  const bool root = tier == "full" || (geteuid() == 0 && tier != "userns");
  if (root) {
    trial = TryJail({.uid_range = true, .private_proc = private_proc});
    if (trial.stage == TrialStage::kDone) report.tier = "full";
  }
  if (report.tier.empty() && tier != "full") {
    const TrialResult own = TryJail({.uid_range = false, .private_proc = private_proc});
    if (own.stage == TrialStage::kDone) report.tier = "userns";
    // Of two failures the one that got further says more.
    if (!root || own.stage > trial.stage) trial = own;
  }
  const char* identity =
      report.tier == "full" ? "a uid per session, no capabilities" : "our own uid, in a namespace; no capabilities";
  report.layers.push_back(TrialLayer("namespaces", trial, TrialStage::kFork, TrialStage::kCgroupNamespace,
                                     "user, mount, pid, net, ipc, uts, cgroup"));
  report.layers.push_back(TrialLayer("mounts", trial, TrialStage::kPrivate, TrialStage::kPivot,
                                     private_proc ? "a root of its own, read-only binds, private /proc"
                                                  : "a root of its own, read-only binds, an empty /proc"));
  report.layers.push_back(ExamineCgroup(&report.advice));
  report.layers.push_back(ExamineRlimits());
  report.layers.push_back(TrialLayer("identity", trial, TrialStage::kIdentity, TrialStage::kIdentity, identity));
  report.layers.push_back(ExamineLandlock());
  report.layers.push_back(ExamineSeccomp());
  Advise(report.tier, &report.advice);
  return report;
}

bool IsComplete(const DoctorReport& report) {
  return !report.tier.empty() &&
         std::all_of(report.layers.begin(), report.layers.end(), [](const LayerState& layer) { return layer.active; });
}

bool IsAsAllowed(const DoctorReport& report) {
  return !report.tier.empty() && std::all_of(report.layers.begin(), report.layers.end(), [&](const LayerState& layer) {
    return layer.active || std::find(report.allowed.begin(), report.allowed.end(), layer.name) != report.allowed.end();
  });
}

}  // namespace carrel::sandbox
